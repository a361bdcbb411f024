"""What a person has set on a page: a value each, its key in the session, its name in the address.

A page declares every value once, beside the widget that shows it:

    SCORE = Choice("score", "gradients.score", {"logit": "logit", "loss": "loss"})
    ...
    score = SCORE.segmented("Gradient of", help="Of each class in turn.")

and lists it in its `PageLink`, which reads it from an address and writes it into one.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import streamlit as st

from app.ui.kept import kept, slider
from robust_core.errors import InputError
from robust_core.registry import unknown_name

CHOSEN = "state.chosen_model"  # the model that a person, not a page, chose last, and on which page
HERE = "state.here"  # name of the page that is shown


def page_here() -> str:
    """Return the name of the page that is shown, once it has followed its address."""
    return st.session_state.get(HERE, "")


def arrive(page: str) -> bool:
    """Note which page is shown; return whether a person has come from another one."""
    before, st.session_state[HERE] = page_here(), page
    return before != page


def remember_model(name: str) -> None:
    """Remember which model a person chose, for pages with a choice of models of their own."""
    st.session_state[CHOSEN] = name, page_here()


def chosen_here(name: str) -> bool:
    """Return whether a person, not a page, chose a model last, and on the page that is shown."""
    return st.session_state.get(CHOSEN) == (name, page_here())


class Part:
    """A value of a page: how it is taken from the text of an address, and told in one."""

    def __init__(
        self, name: str, take: Callable[[str], None], tell: Callable[[], str | None] = lambda: None
    ) -> None:
        """Declare a part.

        Args:
            name: in the address.
            take: brings the widgets into this state; raises `InputError` where it cannot.
            tell: returns the text for the address; None leaves it out.
        """
        self.name, self.take, self.tell = name, take, tell


class _Kept(Part):
    """A part whose value is kept in the session state, and stays when its widget is not drawn."""

    def __init__(self, name: str, key: str, start: Any, kind: str = "") -> None:
        super().__init__(name, lambda text: self.put(self.read(text)), self.told)
        self.key, self.start, self.kind = key, start, kind or name

    @property
    def value(self) -> Any:
        """What is set now."""
        return st.session_state.get(self.key, self.start)

    def put(self, value: Any) -> None:
        """Set a value; before its widget is drawn, or in a callback."""
        st.session_state[self.key] = value

    def read(self, text: str) -> Any:
        """Return the value that `text` stands for.

        Raises:
            InputError: it stands for none.
        """
        raise NotImplementedError

    def told(self) -> str | None:
        """Return the value for the address; None as long as nothing is set."""
        return str(self.value) if self.key in st.session_state else None

    def _widget(self, **more: Any) -> dict[str, Any]:
        """Return what every widget of a part is called with; its first value is set."""
        st.session_state.setdefault(self.key, self.start)
        return {**kept(self.key), **more}


class Choice(_Kept):
    """One of some options."""

    def __init__(
        self,
        name: str,
        key: str,
        options: Mapping[str, str] | Callable[[], Collection[str]],
        *,
        start: str | None = None,
        kind: str = "",
    ) -> None:
        """Declare a choice.

        Args:
            name: in the address.
            key: in the session state.
            options: value -> words on the page; or what returns the values that there are now.
            start: the first value; None: the first option.
            kind: what it is called in a sentence about a wrong address; "": `name`.
        """
        first = start
        if start is None and isinstance(options, Mapping):
            first = next(iter(options))
        super().__init__(name, key, first, kind)
        self.options = options

    def values(self) -> list[str]:
        """Return the values that there are now."""
        return list(self.options if isinstance(self.options, Mapping) else self.options())

    def words(self, value: str) -> str:
        """Return an option as the page shows it."""
        return self.options[value] if isinstance(self.options, Mapping) else value

    def read(self, text: str) -> str:
        """Return `text`; it has to be one of the options."""
        if text not in self.values():
            raise unknown_name(self.kind, text, self.values())
        return text

    def segmented(
        self, label: str, *, among: Collection[str] | None = None, bare: bool = False, **more: Any
    ) -> str:
        """Draw the options side by side; return the chosen one.

        Args:
            label: of the widget.
            among: the options that are offered; None: all.
            bare: without the label on the page.
            more: as of `st.segmented_control`.
        """
        if bare:
            more["label_visibility"] = "collapsed"
        offered = self._offered(among)
        self.put(self.value)  # or the browser forgets the mark when two pages share the choice
        kept = self._widget(**{"format_func": self.words, "required": True, **more})
        return str(st.segmented_control(label, offered, **kept))

    def select(self, label: str, *, among: Collection[str] | None = None, **more: Any) -> str:
        """Draw the options in a list; return the chosen one. Arguments as of `segmented`."""
        offered = self._offered(among)
        kept = self._widget(**{"format_func": self.words, **more})
        return str(st.selectbox(label, offered, **kept))

    def _offered(self, among: Collection[str] | None) -> list[str]:
        offered = self.values() if among is None else [one for one in self.values() if one in among]
        if self.value not in offered:
            self.put(self.start if self.start in offered else offered[0])
        return offered


class Number(_Kept):
    """A number within limits; whole where both limits are."""

    def __init__(
        self, name: str, key: str, low: float, high: float, start: float, *, kind: str = ""
    ) -> None:
        """Declare a number in [low, high]; the other arguments are as of `Choice`."""
        super().__init__(name, key, start, kind)
        self.low, self.high = low, high

    def read(self, text: str) -> float:
        """Return the number; it has to be finite and within the limits."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        try:
            found = int(text) if whole else float(text)
        except ValueError:
            found = None
        if found is None or not self.low <= found <= self.high:
            raise InputError(
                f"{self.kind} should be a {'whole ' if whole else ''}number in [{self.low}, "
                f"{self.high}], got {text!r}"
            )
        return found

    def slider(self, label: str, *, step: float | None = None, **more: Any) -> Any:
        """Draw a slider with a field beside it; return the number. `more` is as of `slider`."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        places = step or (1 if whole else 0.01)
        start = self.start if whole else float(self.start)
        return slider(label, self.low, self.high, key=self.key, step=places, start=start, **more)

    def field(self, label: str, **more: Any) -> Any:
        """Draw a field to type the number into; return it. `more` is as of `st.number_input`."""
        return st.number_input(label, self.low, self.high, **self._widget(**more))


class Text(_Kept):
    """A short text that a person types."""

    LONGEST = 200

    def __init__(self, name: str, key: str, *, start: str = "", kind: str = "") -> None:
        """Declare a text; the arguments are as of `Choice`."""
        super().__init__(name, key, start, kind)

    def read(self, text: str) -> str:
        """Return the text as it is; it has to be short."""
        if len(text) > self.LONGEST:
            raise InputError(f"{self.kind} should have at most {self.LONGEST} letters")
        return text

    def field(self, label: str, **more: Any) -> str:
        """Draw a field to type it into; return it. `more` is as of `st.text_input`."""
        kept = self._widget(**{"max_chars": self.LONGEST, **more})
        return str(st.text_input(label, **kept)).strip()

    def told(self) -> str | None:
        """Return the text for the address; None as long as it is empty."""
        return self.value or None


class Names(_Kept):
    """Some of many names, separated by commas in the address; each once."""

    def __init__(
        self,
        name: str,
        key: str,
        known: Callable[[], Collection[str]],
        *,
        start: Collection[str] = (),
        kind: str = "",
    ) -> None:
        """Declare a list of names; `known` returns those that there are now."""
        super().__init__(name, key, list(start), kind)
        self.known = known

    def read(self, text: str) -> list[str]:
        """Return the names in `text`; each has to be known."""
        return listed(text, self.kind, self.known())

    def pills(self, label: str, **more: Any) -> list[str]:
        """Draw the names that there are now; return those that are chosen."""
        kept = self._widget(selection_mode="multi", **more)
        return list(st.pills(label, list(self.known()), **kept))

    def told(self) -> str | None:
        """Return the names for the address; None as long as nothing is set."""
        return ",".join(self.value) if self.key in st.session_state else None


def listed(text: str, kind: str, known: Collection[str]) -> list[str]:
    """Return names separated by commas, each once.

    Raises:
        InputError: one of them is not known.
    """
    names = [name for name in dict.fromkeys(text.split(",")) if name]
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, list(known))
    return names
