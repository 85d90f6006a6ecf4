"""A figure of the benchmark: a measured value, its target, and whether the target is met."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from testing.overhead import Overhead
from testing.tables import NO_VALUE

Unit = Literal["x", "%", "s", "MiB", "KiB", "KB", "/min"]


@dataclass(frozen=True)
class Figure:
    """One row of the table. Without `measured` it says what is to be measured.

    target     upper limit of `measured`, or a lower limit with `at_least`; None when the figure is
               only reported
    peer       what the value is compared with, or under which conditions it is measured
    low, high  the 99 % interval, where there are enough pairs for one
    note       why the value is missing, or what a reader has to know about it
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

    def with_value(self, measured: float, note: str = "") -> Figure:
        return dataclasses.replace(self, measured=measured, note=note)

    def with_ratio(self, ours: Sequence[float], peer: Sequence[float]) -> Figure:
        """Set the ratio of the medians of two series of seconds, with its interval."""
        added = Overhead.of(peer, ours)
        return dataclasses.replace(
            self, measured=1 + added.estimate, low=1 + added.low, high=1 + added.high
        )

    def with_overhead(self, added: Overhead) -> Figure:
        return dataclasses.replace(self, measured=added.estimate, low=added.low, high=added.high)

    def not_measured(self, why: str) -> Figure:
        return dataclasses.replace(self, note=why)

    @property
    def verdict(self) -> str:
        """`met` or `missed by ...` when the value and its interval lie on one side of the target,
        `inconclusive` otherwise.

        The value is a ratio of medians and the interval is for the median ratio, so that on a noisy
        machine the value may lie outside its interval."""
        if self.measured is None:
            return "not measured"
        if self.target is None:
            return NO_VALUE
        values = [v for v in (self.measured, self.low, self.high) if v is not None]
        reached = {v >= self.target if self.at_least else v <= self.target for v in values}
        if len(reached) == 2:
            return "inconclusive"
        return "met" if reached == {True} else f"missed by {self._distance()}"

    def _distance(self) -> str:
        """The distance of the value from the target, absolute for shares and sizes."""
        assert self.measured is not None
        assert self.target is not None
        distance = abs(self.measured - self.target)
        if self.unit == "%":
            return f"{100 * distance:.1f} points"
        if self.unit in ("MiB", "KiB", "KB"):
            return with_unit(distance, self.unit)
        return f"{100 * distance / self.target:.0f} %"

    def cells(self) -> tuple[str, ...]:
        """Return the row as text: name, value, interval, target, verdict, comparison."""
        value = interval = target = NO_VALUE
        comparison = self.note or self.peer
        if self.measured is not None:
            value = with_unit(self.measured, self.unit)
            comparison = "; ".join(filter(None, (self.peer, self.note)))
        if self.low is not None and self.high is not None:
            ends = (with_unit(end, self.unit).split()[0] for end in (self.low, self.high))
            interval = " to ".join(ends)
        if self.target is not None:
            target = f"{'≥' if self.at_least else '≤'} {with_unit(self.target, self.unit)}"
        return (self.name, value, interval, target, self.verdict, comparison)

    def as_json(self) -> dict[str, Any]:
        """Return builtin values. The verdict is added for readers of the file; it is derived."""
        return {**dataclasses.asdict(self), "verdict": self.verdict}

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Figure:
        return Figure(**{field.name: row[field.name] for field in dataclasses.fields(Figure)})


def with_unit(value: float, unit: Unit) -> str:
    """Write a value: "0.68 x", "4.9 %", "12.3 s", "64 KiB", "31 /min"."""
    number = {"x": f"{value:.2f}", "%": f"{100 * value:.1f}", "s": f"{value:.3g}"}.get(
        unit, f"{value:,.0f}"
    )
    return f"{number} {unit}"


class Section(NamedTuple):
    """Figures that are measured together.

    figures  what is to be measured
    measure  yields the figures with their values; it may yield more figures than were announced
    slow     whether measuring takes minutes
    """

    title: str
    figures: tuple[Figure, ...]
    measure: Callable[[], Iterator[Figure]]
    slow: bool = False
