"""The state of a page in its address: read once for each new address, checked part by part."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.ui.browser.copy_link import copy_link
from app.ui.plain import in_markdown
from app.ui.state import CHOSEN, Part, arrive
from robust_core.errors import InputError
from robust_core.registry import unknown_name

LONGEST_VALUE = 200
State = Mapping[str, str]
Rest = Callable[[State], None]  # takes what no part is named after; raises InputError


class PageLink:
    """What a page keeps in its address, and how its widgets follow it.

    Each part checks its own text; where it raises `InputError` its widgets stay as they are. An
    address is followed once, and again when a person comes to the page by it once more.
    """

    def __init__(
        self,
        page: str,
        parts: Sequence[Part],
        rest: Rest | None = None,
        carry: Callable[[str], None] | None = None,
    ) -> None:
        """Take the parts in the order in which they are to be followed.

        Args:
            page: name of the page, for its keys in the session state.
            parts: the values that the address may have.
            rest: follows what is named otherwise, after the parts; None complains of it.
            carry: takes the name of the model that a person chose on another page, where the
                address says nothing. For pages whose choice of models is not the shared one.
        """
        self._page, self.parts, self._rest = page, parts, rest or self._complain
        self._carry, self._carried = carry, f"{page}.carried"
        self._applied, self._problems = f"{page}.link", f"{page}.link_problems"

    def follow(self) -> list[str]:
        """Bring the widgets into the state of the address, once for each new address.

        Returns:
            One sentence for each part that could not be used.
        """
        state = st.query_params.to_dict()
        if arrive(self._page):
            st.session_state.pop(self._applied, None)
            if not state:
                self._take_along()
        if state and st.session_state.get(self._applied) != state:
            st.session_state[self._applied] = state
            cut = {name[:LONGEST_VALUE]: value[:LONGEST_VALUE] for name, value in state.items()}
            st.session_state[self._problems] = self.take(cut)
        return st.session_state.get(self._problems, []) if state else []

    def _take_along(self) -> None:
        """Carry over the model chosen on another page since the last visit."""
        chosen, _ = st.session_state.get(CHOSEN, (None, ""))
        if self._carry is None or chosen in (None, st.session_state.get(self._carried)):
            return
        st.session_state[self._carried] = chosen
        _attempt(lambda carry=self._carry: carry(chosen))

    def warn(self) -> None:
        """Follow the address and draw one warning for each part that could not be used."""
        for problem in self.follow():
            st.warning(in_markdown(problem), icon=":material/link_off:")

    def state(self) -> dict[str, str]:
        """Return the parts that are set now, as the address names them."""
        told = ((part.name, part.tell()) for part in self.parts)
        return {name: text for name, text in told if text is not None}

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

    def button(self, more: State | None = None) -> None:
        """Draw the button "Copy link" to what is set now, which also goes into the address bar.

        Args:
            more: what the page knows better than its parts.
        """
        state = self.state() | dict(more or {})
        st.session_state[f"{self._page}.linked"] = state
        if copy_link(state, key=f"{self._page}.copy_link"):
            self.write(state)

    def keep_up(self) -> None:
        """Within a fragment: draw the page again where the button's state is no longer true."""
        if st.session_state.get(f"{self._page}.linked", self.state()) != self.state():
            st.rerun()

    def _settle(self) -> None:
        st.session_state[self._applied] = st.query_params.to_dict()
        st.session_state[self._problems] = []

    def take(self, state: State) -> list[str]:
        """Bring the widgets into a state; return one sentence for each part that is of no use."""
        named = {part.name for part in self.parts}
        rest = {name: text for name, text in state.items() if name not in named}
        steps: list[Callable[[], None]] = [
            lambda part=part: part.take(state[part.name])
            for part in self.parts
            if part.name in state
        ]
        if rest:
            steps.append(lambda: self._rest(rest))
        return [problem for step in steps if (problem := _attempt(step))]

    def _complain(self, rest: State) -> None:
        for name in rest:
            raise unknown_name("part of the address", name, [part.name for part in self.parts])


def _attempt(step: Callable[[], None]) -> str | None:
    try:
        step()
    except InputError as error:
        return f"The link cannot be followed in full: {error}."
    return None
