"""Named things found at run time: attacks, methods, models, data sets."""

import difflib
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, cast

from robust_core.errors import InputError

SHORTEST_PART = 3  # letters of a name that may be a part of the meant one
MOST_NAMED = 30  # known names in one sentence

T = TypeVar("T")
E = TypeVar("E")


def unknown_name(kind: str, name: str, known: list[str]) -> InputError:
    """An error that names the known entries, the first of many, and the likely meaning if any."""
    hint, listed = did_you_mean(name, known), known[:MOST_NAMED]
    more = f" and {len(known) - len(listed)} more" if len(known) > len(listed) else ""
    return InputError(f"unknown {kind} {name!r}{hint}; known: {', '.join(listed) or 'none'}{more}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'num_steps'?)", or "" where no known name is close.

    Case and the signs between words do not count. After the same name come, in this order, one
    that has `name` among its words ("steps"), one spelled like it, and one that begins with it or
    contains it ("eps"); the shortest of several.
    """
    own, words = _words(name), {entry: _words(entry) for entry in sorted(known, key=len)}
    whole, joined = "".join(own), {entry: "".join(words[entry]) for entry in words}
    spaced = {" ".join(words[entry]): entry for entry in reversed(words)}
    close = difflib.get_close_matches(" ".join(own), list(spaced), n=1)
    likely = [
        *(entry for entry in words if joined[entry] == whole),
        *(entry for entry in words if own and set(own) <= set(words[entry])),
        *(spaced[text] for text in close),
    ]
    if len(whole) >= SHORTEST_PART:
        likely += [entry for entry in words if joined[entry].startswith(whole)]
        likely += [entry for entry in words if whole in joined[entry]]
    return f" (did you mean {likely[0]!r}?)" if likely else ""


def _words(name: str) -> list[str]:
    """Return the words of a name, without case: "--num-steps" -> ["num", "steps"]."""
    return re.findall(r"[^\W_]+", name.casefold())


class Registry(Generic[T]):
    """Entries of one kind under their names.

    A module registers what it defines with the decorator `register`; importing every module of a
    package through `discover` is all that adding a file to that package takes.
    """

    def __init__(self, kind: str, package: str, *, module: str | None = None) -> None:
        """Make an empty registry.

        Args:
            kind: a word for error messages.
            package: whose modules fill it.
            module: fill it from the modules of this name in the packages inside `package` instead.
        """
        self.kind = kind
        self._package, self._module = package, module
        self._entries: dict[str, T] = {}
        self._discovered = False

    def register(self, name: str) -> Callable[[E], E]:
        """Return a decorator that files its argument under `name`; a name is given only once."""

        def add(entry: E) -> E:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = cast(T, entry)
            return entry

        return add

    def get(self, name: str) -> T:
        """Return the entry called `name`; raise `InputError` with the known names otherwise."""
        self.discover()
        if name not in self._entries:
            raise unknown_name(self.kind, name, self.names())
        return self._entries[name]

    def name_of(self, entry: Any) -> str | None:
        """Return the name under which `entry` is filed, None if it is not."""
        self.discover()
        return next((name for name, filed in self._entries.items() if filed is entry), None)

    def names(self) -> list[str]:
        """Return the names of all entries, sorted."""
        self.discover()
        return sorted(self._entries)

    def discover(self) -> None:
        """Import every module of the package once, so that its entries register themselves."""
        if self._discovered:
            return
        package = importlib.import_module(self._package)
        for found in pkgutil.iter_modules(package.__path__):
            name = f"{self._package}.{found.name}"
            if self._module is None:
                importlib.import_module(name)
            elif found.ispkg and importlib.util.find_spec(f"{name}.{self._module}"):
                importlib.import_module(f"{name}.{self._module}")
        self._discovered = True
