"""Labels, line styles and legend groups that are computed from the names of sites.

A name that contains a number, such as `blocks.0.attn.q`, consists of a layer, `blocks.0`, and a
kind, `attn.q`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from probes.common.text import one_line

COLOURS = 8
DASHES = 4
"""Numbers of colours and of dash patterns that the style sheet of the page defines."""
MAX_LABEL = 40
"""Largest number of characters in a label."""
MAX_NAME = 10_000
"""Longer names are cut to this number of characters before they are shortened to labels."""


def short_labels(names: Sequence[str]) -> tuple[str, ...]:
    """A label for each name. The last dotted part is left out if it is the same in all names. In
    long names, an ellipsis replaces the middle."""
    endings = {name.rpartition(".")[2] for name in names}
    if len(names) > 1 and len(endings) == 1 and all("." in name for name in names):
        names = tuple(name.rpartition(".")[0] for name in names)
    half = MAX_LABEL // 2
    labels = (one_line(name, MAX_NAME) for name in names)
    return tuple(
        label if len(label) <= MAX_LABEL else f"{label[: half - 1]}…{label[-half:]}"
        for label in labels
    )


def line_styles(names: Sequence[str]) -> list[tuple[int, int]]:
    """A colour and a dash pattern for each name, as indices.

    If there are more layers than kinds, the layer determines the colour and the kind the dash
    pattern; otherwise it is the other way round.
    """
    parts = [_layer_and_kind(name) for name in names]
    layers = _places(layer for layer, _ in parts if layer)
    kinds = _places(kind for _, kind in parts)
    places = [(kinds[kind], layers.get(layer, 0)) for layer, kind in parts]
    if len(kinds) < max(1, len(layers)):
        places = [(layer, kind) for kind, layer in places]
    return [(colour % COLOURS, (dash + colour // COLOURS) % DASHES) for colour, dash in places]


def _places(names: Iterable[str]) -> dict[str, int]:
    """Each different name -> its position in the order in which the names first occur."""
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def legend_groups(names: Sequence[str]) -> list[tuple[str, str]]:
    """For each name, the heading of its group in a legend, and its name below that heading.

    A group is a layer. If all kinds in a group begin with the same dotted parts, these parts move
    to the heading.
    """
    members: dict[str, list[str]] = {}
    for layer, kind in map(_layer_and_kind, names):
        members.setdefault(layer, []).append(kind)
    shared = dict.fromkeys(members, "")
    for layer, kinds in members.items():
        if layer and len(kinds) > 1:
            # Compare the first dotted parts of all kinds, then the second ones, and so on. The last
            # part of a kind is not compared, because it must remain as its name.
            columns = zip(*(kind.split(".")[:-1] for kind in kinds), strict=False)
            common = takewhile(lambda parts: len(set(parts)) == 1, columns)
            shared[layer] = "".join(f"{parts[0]}." for parts in common)
    return [
        (f"{layer}.{shared[layer]}".strip("."), kind.removeprefix(shared[layer]))
        for layer, kind in map(_layer_and_kind, names)
    ]


def _layer_and_kind(name: str) -> tuple[str, str]:
    """Split a name after its first dotted part that is a number. Without a number, the layer is ""
    and the kind is the whole name."""
    parts = name.split(".")
    for index, part in enumerate(parts[:-1]):
        if part.isdecimal():
            return ".".join(parts[: index + 1]), ".".join(parts[index + 1 :])
    return "", name
