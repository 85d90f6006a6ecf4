"""Names of sites: short labels, and the colours and groups that a reader can infer from them.

A name with a number, such as `blocks.0.attn.q`, consists of a layer, `blocks.0`, and a kind,
`attn.q`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from probes.common.text import one_line

COLOURS = 8
DASHES = 4
"""Colours and dash patterns that the style sheet of the page defines."""
MAX_LABEL = 40
MAX_SITE = 10_000
"""Characters of a name that are looked at."""


def short_labels(names: Sequence[str]) -> tuple[str, ...]:
    """The names without the last dotted part if they all share it; long names lose their middle."""
    endings = {name.rpartition(".")[2] for name in names}
    if len(names) > 1 and len(endings) == 1 and all("." in name for name in names):
        names = tuple(name.rpartition(".")[0] for name in names)
    return tuple(_without_middle(one_line(name, MAX_SITE)) for name in names)


def _without_middle(name: str) -> str:
    half = MAX_LABEL // 2
    return name if len(name) <= MAX_LABEL else f"{name[: half - 1]}…{name[-half:]}"


def line_styles(names: Sequence[str]) -> list[tuple[int, int]]:
    """A colour and a dash pattern for every name.

    Layers and kinds each determine one of the two: whichever has more members determines the
    colour. So the same kind, or the same layer, looks the same wherever it occurs.
    """
    parts = [_layer_and_kind(name) for name in names]
    layers = list(dict.fromkeys(layer for layer, _ in parts if layer)) or [""]
    kinds = list(dict.fromkeys(kind for _, kind in parts))
    places = [(kinds.index(kind), layers.index(layer) if layer else 0) for layer, kind in parts]
    if len(kinds) < len(layers):
        places = [(layer, kind) for kind, layer in places]
    return [(colour % COLOURS, (dash + colour // COLOURS) % DASHES) for colour, dash in places]


def legend_groups(names: Sequence[str]) -> list[tuple[str, str]]:
    """For every name, the heading of its group in a legend and its name there.

    A group is a layer. Its heading includes the dotted beginning that all its kinds share.
    """
    members: dict[str, list[str]] = {}
    for layer, kind in map(_layer_and_kind, names):
        members.setdefault(layer, []).append(kind)
    shared = {layer: _shared_beginning(kinds) if layer else "" for layer, kinds in members.items()}
    return [
        (f"{layer}.{shared[layer]}".strip("."), kind.removeprefix(shared[layer]))
        for layer, kind in map(_layer_and_kind, names)
    ]


def _shared_beginning(kinds: Sequence[str]) -> str:
    """The dotted beginning of several names, with its last dot; "" for a single name."""
    if len(kinds) < 2:
        return ""
    ranks = zip(*(kind.split(".")[:-1] for kind in kinds), strict=False)
    common = [rank[0] for rank in takewhile(lambda rank: len(set(rank)) == 1, ranks)]
    return "".join(f"{part}." for part in common)


def _layer_and_kind(name: str) -> tuple[str, str]:
    """The name up to its first number, and the rest; "" and the name if it holds no number."""
    parts = name.split(".")
    for index, part in enumerate(parts[:-1]):
        if part.isdecimal():
            return ".".join(parts[: index + 1]), ".".join(parts[index + 1 :])
    return "", name
