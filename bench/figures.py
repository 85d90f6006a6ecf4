"""A figure: what is measured, what it should be, and whether it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bench.overhead import Overhead

Unit = Literal["x", "%", "s", "KiB", "KB", "/min"]
NONE = "–"


@dataclass(frozen=True)
class Figure:
    """One row of the table; without `measured` it is only what was to be measured.

    target    measured should be at most this, or `at_least` this; None when it is only reported
    peer      what it is measured against, or in what
    low, high  the 99 % interval where there are enough pairs for one
    note      why it was not measured, or what belongs to the number
    """

    name: str
    unit: Unit
    peer: str
    target: float | None = None
    at_least: bool = False
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""

    def value(self, measured: float, note: str = "") -> Figure:
        return dataclasses.replace(self, measured=measured, note=note)

    def ratio(self, ours: Sequence[float], peer: Sequence[float]) -> Figure:
        """From seconds of pairs: ratio of medians, with an interval from order statistics
        (`bench.overhead`)."""
        over = Overhead.of(peer, ours)
        return dataclasses.replace(
            self, measured=1 + over.estimate, low=1 + over.low, high=1 + over.high
        )

    def failed(self, why: str) -> Figure:
        return dataclasses.replace(self, note=why)

    @property
    def verdict(self) -> str:
        """Met or missed when measured value and interval are on one side of the target, else
        inconclusive.

        The measured ratio is of medians, its interval that of the median ratio: on a noisy machine
        one may lie off the other."""
        if self.measured is None:
            return "not measured"
        if self.target is None:
            return NONE
        reached = {
            self._reaches(value)
            for value in (self.measured, self.low, self.high)
            if value is not None
        }
        if len(reached) == 2:
            return "inconclusive"
        return "met" if reached == {True} else f"missed by {self._short()}"

    def _reaches(self, value: float) -> bool:
        assert self.target is not None
        return value >= self.target if self.at_least else value <= self.target

    def _short(self) -> str:
        assert self.measured is not None
        assert self.target is not None
        off = abs(self.measured - self.target)
        if self.unit == "%":
            return f"{100 * off:.1f} points"
        return (
            shown(off, self.unit)
            if self.unit in ("KiB", "KB")
            else f"{off / self.target:.0%}".replace("%", " %")
        )

    def cells(self) -> tuple[str, ...]:
        """The row as text: figure, measured, interval, target, verdict, peer."""
        measured = NONE if self.measured is None else shown(self.measured, self.unit)
        interval = (
            NONE
            if self.low is None or self.high is None
            else " to ".join(shown(end, self.unit).split()[0] for end in (self.low, self.high))
        )
        against = (
            "; ".join(filter(None, (self.peer, self.note)))
            if self.measured is not None
            else self.note or self.peer
        )
        target = (
            NONE
            if self.target is None
            else f"{'≥' if self.at_least else '≤'} {shown(self.target, self.unit)}"
        )
        return (self.name, measured, interval, target, self.verdict, against)

    def row(self) -> dict[str, Any]:
        """Builtins only, for JSON; with the verdict, which nobody reads back."""
        return {**dataclasses.asdict(self), "verdict": self.verdict}

    @staticmethod
    def of_row(row: Mapping[str, Any]) -> Figure:
        return Figure(**{field.name: row[field.name] for field in dataclasses.fields(Figure)})


def shown(value: float, unit: Unit) -> str:
    """ "0.68 x", "4.9 %", "12.3 s", "64 KiB", "31 /min"."""
    number = {"x": f"{value:.2f}", "%": f"{100 * value:.1f}", "s": f"{value:.3g}"}.get(
        unit, f"{value:,.0f}"
    )
    return f"{number} {unit}"


class Section(NamedTuple):
    """Figures that are measured together.

    figures  what is to be measured
    measure  measures it; may add figures that only it knows of
    slow     takes minutes
    """

    title: str
    figures: tuple[Figure, ...]
    measure: Callable[[], Iterator[Figure]]
    slow: bool = False
