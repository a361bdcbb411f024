import socket

import pytest

from robust_core import network


def test_this_machine_knows_its_own_addresses_from_others() -> None:
    own = network.own_address()
    assert network.is_own("127.0.0.1")
    assert own is None or (network.is_own(own) and not own.startswith("127."))
    for other in ("192.0.2.1", "198.51.100.7", "2001:db8::1", "nonsense"):
        assert not network.is_own(other)


def test_where_any_address_can_be_listened_on_none_is_known_as_own(monkeypatch) -> None:
    monkeypatch.setattr(network, "_can_listen", lambda address: True)
    assert not network.is_own("127.0.0.1")


def test_a_machine_without_a_network_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere(socket.socket):
        def connect(self, address) -> None:
            raise OSError("network is unreachable")

    monkeypatch.setattr(network.socket, "socket", Nowhere)
    assert network.own_address() is None
