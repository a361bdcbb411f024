"""This machine on its network: its address, and whether somebody else's is its own."""

import socket

VISITOR_RUNS = 2  # at work or waiting, of one person on another machine
OPEN_WORDS = (
    "Everyone on your network can open this dashboard and compute on this machine, without a "
    f"password; visitors may have {VISITOR_RUNS} runs each, and can import or delete nothing."
)
ELSEWHERE = "192.0.2.1"  # kept for documentation (RFC 5737): no machine's own


def own_address() -> str | None:
    """Return the IPv4 address by which this machine's network knows it; None without a network.

    The system is asked which address it would send from; nothing is sent.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ELSEWHERE, 9))
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if found.startswith("127.") else found


def is_own(address: str) -> bool:
    """Return whether an IP address is one of this machine: whether it can be listened on here.

    False where the system lets programs listen on any address, so that this says nothing.
    """
    return _can_listen(address) and not _can_listen(ELSEWHERE)


def _can_listen(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except (OSError, UnicodeError):
            return False
    return True
