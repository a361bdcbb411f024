"""The state of a page in its address: read once for each new address, checked part by part."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.ui.browser.copy_link import copy_link
from robust_core.errors import InputError
from robust_core.registry import unknown_name

LONGEST_VALUE = 200
State = Mapping[str, str]
Step = Callable[[State], None]  # brings widgets into the state; raises InputError where it cannot


class PageLink:
    """What a page keeps in its address, and how its widgets follow it.

    A step looks at the parts of the address that it knows, checks them and puts them into the
    session state; where it raises `InputError` its widgets stay as they are.
    """

    def __init__(self, page: str, steps: Sequence[Step]) -> None:
        """Take the steps in the order in which they are to be followed.

        Args:
            page: name of the page, for its keys in the session state.
            steps: such as `part` and `only` make them.
        """
        self._page, self._steps = page, steps
        self._applied, self._problems = f"{page}.link", f"{page}.link_problems"

    def follow(self) -> list[str]:
        """Bring the widgets into the state of the address, once for each new address.

        Returns:
            One sentence for each part that could not be used.
        """
        state = st.query_params.to_dict()
        if state and st.session_state.get(self._applied) != state:
            st.session_state[self._applied] = state
            cut = {name[:LONGEST_VALUE]: value[:LONGEST_VALUE] for name, value in state.items()}
            st.session_state[self._problems] = [
                problem for step in self._steps if (problem := _attempt(step, cut))
            ]
        return st.session_state.get(self._problems, []) if state else []

    def warn(self) -> None:
        """Follow the address and draw one warning for each part that could not be used."""
        for problem in self.follow():
            st.warning(problem, icon=":material/link_off:")

    def write(self, state: State) -> None:
        """Put a whole state into the address bar."""
        st.query_params.from_dict(dict(state))
        self._settle()

    def put(self, name: str, value: str | None) -> None:
        """Put one part of the state into the address; None takes it out."""
        if value is None:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = value
        self._settle()

    def button(self, state: State) -> None:
        """Draw the button "Copy link" to a state, which also goes into the address bar."""
        if copy_link(state, key=f"{self._page}.copy_link"):
            self.write(state)

    def _settle(self) -> None:
        st.session_state[self._applied] = st.query_params.to_dict()
        st.session_state[self._problems] = []


def part(name: str, take: Callable[[str], None]) -> Step:
    """Return the step that hands the value of `name` to `take`, where the address has it."""

    def step(state: State) -> None:
        if name in state:
            take(state[name])

    return step


def only(names: Sequence[str]) -> Step:
    """Return the step that complains of a part of the address that is none of `names`."""

    def step(state: State) -> None:
        for name in state:
            if name not in names:
                raise unknown_name("part of the address", name, list(names))

    return step


def one_of(kind: str, key: str, known: Callable[[], Sequence[str]]) -> Callable[[str], None]:
    """Return what keeps a value in the session state under `key` if it is one of `known()`."""

    def take(value: str) -> None:
        if value not in known():
            raise unknown_name(kind, value, list(known()))
        st.session_state[key] = value

    return take


def number(kind: str, key: str, low: float, high: float) -> Callable[[str], None]:
    """Return what keeps a number within [low, high] under `key`; whole where both limits are."""
    convert = int if isinstance(low, int) and isinstance(high, int) else float

    def take(value: str) -> None:
        try:
            found = convert(value)
        except ValueError:
            found = None
        if found is None or not low <= found <= high:
            raise InputError(f"{kind} should be a number in [{low}, {high}], got {value!r}")
        st.session_state[key] = found

    return take


def _attempt(step: Step, state: State) -> str | None:
    try:
        step(state)
    except InputError as error:
        return f"The link cannot be followed in full: {error}."
    return None
