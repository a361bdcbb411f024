"""Whoever is at the browser: the person at this machine, or a visitor from the network.

A visitor is who comes from another machine: the address of the connection is not one of this
machine's, or a proxy says that it passes something on. A tunnel that ends on this machine looks
like the person at it, and in a container even that person is a visitor. A visitor is known by a
random id that the browser keeps; whoever deletes it counts anew. So the limits are for fairness,
and no lock: this dashboard has no passwords.

Whatever is not for everyone goes through `check`, and a widget asks `may` whether to offer it.
"""

import re
import secrets
from typing import Any, Literal
from urllib.parse import urlsplit

import streamlit as st

from app.ui.browser.cookie import keep_cookie
from app.ui.state import Text
from robust_core import network
from robust_core.errors import InputError
from robust_core.jobs.directory import WorkDirectory
from robust_core.jobs.owner import owner_of

Action = Literal["stop", "resume", "leave", "delete", "import"]
HERE = ("localhost", "127.0.0.1", "::1")
PASSED_ON = ("X-Forwarded-For", "Forwarded")
COOKIE = "robust_lab_visitor"
KEPT_SECONDS = 30 * 24 * 3600
ID = Text("visitor", "visitor.id")
ID_SHAPE = re.compile(r"[0-9a-f]{32}")
OF_OWN_RUNS = ("stop", "resume", "leave")
REFUSALS: dict[Action, str] = {
    "stop": "only the person who started this run, or the one at the machine, may stop it",
    "resume": "only the person who started this run, or the one at the machine, may resume it",
    "leave": "only the person who started this run, or the one at the machine, may take it out of "
    "the queue",
    "delete": "visitors from the network may delete nothing; ask the person at the machine",
    "import": "visitors from the network may import nothing; ask the person at the machine",
}


def is_open() -> bool:
    """Return whether other machines can open this dashboard."""
    address = st.get_option("server.address")  # set by the settings: without one nothing listens
    return address is not None and address not in HERE


def is_visitor() -> bool:
    """Return whether this session's browser is on another machine."""
    if any(name in st.context.headers for name in PASSED_ON):
        return True
    address = st.context.ip_address  # none where the connection is from this machine
    return isinstance(address, str) and not network.is_own(address)


def own_id() -> str:
    """Return the random id of this browser."""
    if not ID.value:
        kept = str(st.context.cookies.get(COOKIE, ""))
        ID.put(kept if ID_SHAPE.fullmatch(kept) else secrets.token_hex(16))
    return ID.value


def remember() -> None:
    """Let the browser keep its id, where several people can be told apart by it."""
    if is_open() and st.context.cookies.get(COOKIE) != own_id():
        keep_cookie(COOKIE, own_id(), key="visitor.cookie", seconds=KEPT_SECONDS)


def most_runs() -> int | None:
    """Return how many runs of this person may be at work or wait; None: any number."""
    return network.VISITOR_RUNS if is_visitor() else None


def is_own(owner: str) -> bool:
    """Return whether `owner` is the person at this browser."""
    return bool(owner) and owner == own_id()


def mark(owner: str) -> str:
    """Return " · yours" for what this person started, where others can start something, too."""
    return " · yours" if is_open() and is_own(owner) else ""


def may(action: Action, run: WorkDirectory[Any, Any] | None = None) -> bool:
    """Return whether this person may do something, with `run` where it is about a run."""
    if not is_visitor():
        return True
    return action in OF_OWN_RUNS and run is not None and is_own(owner_of(run.path))


def check(action: Action, run: WorkDirectory[Any, Any] | None = None) -> None:
    """Refuse what this person may not do.

    Raises:
        InputError: a visitor asks for it.
    """
    if not may(action, run):
        raise InputError(REFUSALS[action])


def show_openness() -> None:
    """Say, where the network can open the dashboard, what that means for whoever is reading."""
    if not is_open():
        return
    if is_visitor():
        st.caption(
            ":material/wifi: You use this dashboard over the network. You may have "
            f"{network.VISITOR_RUNS} runs at work or waiting; only the person at the machine "
            "can import and delete."
        )
    else:
        st.caption(f":material/wifi: {network.OPEN_WORDS}")


def address_for_others() -> str:
    """Return the address of the dashboard as other machines can open it, where they can."""
    url = urlsplit(st.context.url or "")
    own = network.own_address()
    if not is_open() or own is None or url.hostname not in HERE:
        return f"{url.scheme}://{url.netloc}"
    return f"{url.scheme}://{own}:{url.port or 80}"


def reach_words() -> str:
    """Return who can open an address of this dashboard."""
    if is_open():
        return "**Everyone on this network** can open it while the dashboard runs."
    return (
        "**Only this computer** can open it. For a class, start the dashboard with "
        "`make app LAN=1` or `robust-lab app --lan`."
    )
