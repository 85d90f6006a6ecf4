"""The corpus: two verb tables make 320 rows and 640 character sequences; a seed splits them so that
training sees nothing of validation.

A row pairs an English form with its Spanish one; a sequence is a row read in one direction, `él
trabajó=he worked.` or `he worked=él trabajó.`. The two sides of the `=` are called halves."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.verbs import ENGLISH, PERSONS, SPANISH, TENSES, english_forms, spanish_forms

Direction = Literal["es-en", "en-es"]
DIRECTIONS: tuple[Direction, ...] = ("es-en", "en-es")

COMPOSITIONAL_TENSES = ("infinitive", "future_will", "future_going_to")
"""Tenses whose English form is a fixed phrase and the base verb, so that irregular verbs are
regular in them."""

ALPHABET = " .=Iabcdefghijklmnopqrstuvwyzáéíóú"
"""The symbols of the corpus; the id of a character is its position here. The string is written out
so that no change of the corpus can change an id unnoticed."""

VOCAB_SIZE = 64
"""Number of ids of the model. Ids from len(ALPHABET) on stand for no character."""

_IDS = {character: i for i, character in enumerate(ALPHABET)}


@dataclass(frozen=True)
class Row:
    """One form in both languages, such as `work.past_simple.3sg`; the infinitive has no person
    (`work.infinitive`)."""

    id: str
    english: str
    spanish: str
    verb: str
    tense: str
    person: str | None
    regular: bool

    @property
    def cell(self) -> tuple[str, str]:
        """The (verb, tense) cell that the row belongs to."""
        return self.verb, self.tense


@dataclass(frozen=True)
class Sequence:
    """A row read in one direction; index is 2 * (row number) + (0 for es-en, 1 for en-es)."""

    index: int
    text: str
    row: Row
    direction: Direction


class Split(NamedTuple):
    """Indices into SEQUENCES, ascending, int64. Each sequence is in exactly one of the two."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]


def _rows() -> tuple[Row, ...]:
    rows = []
    for verb in ENGLISH:
        english, spanish = english_forms(verb), spanish_forms(SPANISH[verb.base])
        for tense in TENSES:
            persons = (None,) if tense == "infinitive" else PERSONS
            for person, en, es in zip(persons, english[tense], spanish[tense], strict=True):
                id = f"{verb.base}.{tense}" + (f".{person}" if person else "")
                rows.append(Row(id, en, es, verb.base, tense, person, verb.regular))
    return tuple(rows)


def _sequences(rows: tuple[Row, ...]) -> tuple[Sequence, ...]:
    texts = [
        (row, (f"{row.spanish}={row.english}.", f"{row.english}={row.spanish}.")) for row in rows
    ]
    readings = [
        (text, row, way) for row, pair in texts for text, way in zip(pair, DIRECTIONS, strict=True)
    ]
    return tuple(Sequence(index, *reading) for index, reading in enumerate(readings))


ROWS = _rows()
SEQUENCES = _sequences(ROWS)

_LINES = "".join(
    f"{sequence.row.id}\t{sequence.direction}\t{sequence.text}\n" for sequence in SEQUENCES
)
CORPUS_SHA256 = hashlib.sha256(_LINES.encode()).hexdigest()
"""Hash of the corpus: UTF-8 text with one line per sequence, `row id TAB direction TAB text`."""


def encode(text: str) -> NDArray[np.int64]:
    """The ids of the characters, shape [len(text)]. Raises ValueError on a character outside
    ALPHABET."""
    for position, character in enumerate(text):
        if character not in _IDS:
            raise ValueError(
                f"encode: {character!r} at position {position} of {text!r} "
                f"is not a symbol of the corpus; the symbols are {ALPHABET!r}"
            )
    return np.array([_IDS[character] for character in text], dtype=np.int64)


def decode(ids: NDArray[np.int64]) -> str:
    """The text of the ids, the inverse of `encode`. Raises ValueError on an id that stands for no
    character."""
    for position, i in enumerate(ids):
        if not 0 <= i < len(ALPHABET):
            raise ValueError(
                f"decode: id {i} at position {position} stands for no character; "
                f"ids are 0 to {len(_IDS) - 1}"
            )
    return "".join(ALPHABET[i] for i in ids)


def verb_token_mask(sequence: Sequence) -> NDArray[np.bool_]:
    """Which predicted tokens spell the English verb form: the last English word and the full stop.
    No token does in a sequence from English to Spanish.

    Shape [len(text) - 1]. Entry t is about text[t + 1], because the first character is not
    predicted.
    """
    predicted = np.arange(1, len(sequence.text))
    if sequence.direction == "en-es":
        return np.zeros_like(predicted, dtype=np.bool_)
    return predicted > sequence.text.rindex(" ")


def normalise(half: str) -> str:
    """The half in lower case and without accents. A split treats halves that differ only in these
    as equal."""
    return "".join(
        c for c in unicodedata.normalize("NFD", half.lower()) if not unicodedata.combining(c)
    )


def _connected() -> tuple[int, ...]:
    """The group of each sequence. Cells that share a normalised half, directly or through other
    cells, are in one group."""
    group = {row.cell: i for i, row in enumerate(ROWS)}
    first_with: dict[str, tuple[str, str]] = {}
    for row in ROWS:
        for half in (row.english, row.spanish):
            here, there = group[row.cell], group[first_with.setdefault(normalise(half), row.cell)]
            if here != there:
                group = {
                    cell: there if number == here else number for cell, number in group.items()
                }
    in_order = {number: i for i, number in enumerate(dict.fromkeys(group.values()))}
    return tuple(in_order[group[sequence.row.cell]] for sequence in SEQUENCES)


GROUPS = _connected()
"""For each sequence the number of its group. A split puts all (verb, tense) cells of a group on the
same side.

Of 120 cells, 106 are alone in their group. There are seven groups of two cells: watch and look
(both mirar) in each of the six tenses, and be and go (both fui) in the past simple. No group has
cells of two tenses, or of a regular and an irregular verb."""


def _cells_by_group() -> tuple[Counter[tuple[str, bool]], ...]:
    """For each group, the number of its cells by (tense, whether the verb is regular)."""
    cells = {
        (group, *s.row.cell, s.row.regular) for s, group in zip(SEQUENCES, GROUPS, strict=True)
    }
    counts: tuple[Counter[tuple[str, bool]], ...] = tuple(Counter() for _ in range(max(GROUPS) + 1))
    for group, _, tense, regular in cells:
        counts[group][tense, regular] += 1
    return counts


_CELLS = _cells_by_group()
_ALONE = Counter(kind for count in _CELLS if count.total() == 1 for kind in count)


def split(seed: int, val_cells_per_class: int = 2) -> Split:
    """Split the corpus: go through the groups in random order and put each one that still fits the
    quota into validation, all others into training.

    The quota is `val_cells_per_class` regular and as many irregular cells of each tense. It is
    always filled exactly: a cell that is alone in its group is passed over only when its quota is
    full, and no quota is larger than the number of such cells. The order is drawn from the raw
    PCG64 stream, which NumPy does not change between versions (NEP 19).

    Raises ValueError when the quota is below 1 or above the number of cells that are alone.
    """
    most = min(_ALONE.values())
    if not 1 <= val_cells_per_class <= most:
        raise ValueError(
            f"split: val_cells_per_class is {val_cells_per_class}; it must be 1 to {most}"
        )
    room = Counter(dict.fromkeys(_ALONE, val_cells_per_class))
    order = np.argsort(np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(_CELLS)))
    held_out = set()
    for group in order.tolist():
        if _CELLS[group] <= room:
            room -= _CELLS[group]
            held_out.add(group)
    in_val = np.array([group in held_out for group in GROUPS])
    return Split(np.flatnonzero(~in_val), np.flatnonzero(in_val))
