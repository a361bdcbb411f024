"""Text from outside as plain text: no part of it becomes a link, a picture or a style.

Addresses, files, runs and cards hold names and sentences that somebody else has written. Streamlit
draws text as Markdown and plotly as a kind of HTML, so such text goes through one of these
functions where it is drawn. Data frames, lists of a select box, Altair and the components of
`ui/browser` draw text as it is and get it as it is.
"""

import html
import re

JOINER = "\N{WORD JOINER}"  # cannot be seen; takes a word apart that would mean something
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]+")  # also turns of direction
_SPACES = re.compile(r"[^\S\u00a0]+")  # of any kind, but for those at which no line may break
_SPECIAL = re.compile(r"[\\`*\[<>$~|&]|(?<![^\W_])_|_(?![^\W_])")
_START = re.compile(r"^([#+=:-]|\d+(?=[.)]))")
_JOINED = re.compile(r":(?=[^\s:])|@|(?i:\bwww(?=\.))")  # icons, colours, addresses, mail


def in_markdown(text: str) -> str:
    """Return text for a place that draws Markdown: labels, captions, messages, tables."""
    line = _SPACES.sub(" ", _INVISIBLE.sub(" ", text)).strip(" ")
    escaped = _SPECIAL.sub(r"\\\g<0>", line)
    begun = _START.sub(_begin, escaped)
    return _JOINED.sub(rf"\g<0>{JOINER}", begun)


def in_html(text: str) -> str:
    """Return text for a place that draws HTML: a report, a figure of plotly and its templates."""
    escaped = html.escape(_INVISIBLE.sub(" ", text))
    return escaped.replace("%{", "%&#123;").replace("$", "&#36;")


def unbroken(text: str) -> str:
    """Return text of our own that a narrow column keeps on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _begin(found: re.Match[str]) -> str:
    mark = found.group()
    return f"{mark}{JOINER}" if mark.isdigit() else f"\\{mark}"
