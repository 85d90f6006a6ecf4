"""Strings from outside, made fit for a page: names in a record are whatever somebody's log says
they are."""

from __future__ import annotations

import re

LONGEST = 120
"""Characters of a name or a sentence that are shown unless the caller has room for more."""

UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffb\ufeff\ufffe\uffff]+"
)
"""Control characters, lone surrogates and non-characters, which XML cannot hold, and marks that
turn text around."""


def clean(text: object, longest: int = LONGEST) -> str:
    """One line of printable text, cut with an ellipsis when it is too long. Escaping is the
    writer's business."""
    line = UNFIT.sub(" ", str(text)).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def shortest(names: tuple[str, ...], longest: int = 40) -> tuple[str, ...]:
    """The names without the last dotted part that all of them share, cut in the middle when they
    are too long."""
    tails = {name.rpartition(".")[2] for name in names}
    if len(names) > 1 and len(tails) == 1 and all("." in name for name in names):
        names = tuple(name.rpartition(".")[0] for name in names)
    return tuple(_elided(clean(name, 10_000), longest) for name in names)


def _elided(name: str, longest: int) -> str:
    half = longest // 2
    return name if len(name) <= longest else f"{name[: half - 1]}…{name[-half:]}"
