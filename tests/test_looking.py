"""The cost of each signal on its own: every row of the table is timed, against a bare action, in
turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pytest

from bench import looking
from probes.record.signals import SIGNALS


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(looking, "process_time", lambda: now[0])
    return now


def test_cost_is_what_an_action_takes_beyond_the_bare_one(clock: list[float]) -> None:
    """On a clock that only the actions move: 4 seconds bare, 5 and 4 watched."""

    def takes(seconds: float) -> None:
        clock[0] += seconds

    costs = looking.compare(
        lambda: takes(4), {"a": lambda: takes(5), "b": lambda: takes(4)}, rounds=8
    )
    assert [(name, cost.low, cost.estimate, cost.high) for name, cost in costs] == [
        ("a", 0.25, 0.25, 0.25),
        ("b", 0.0, 0.0, 0.0),
    ]


def test_actions_take_turns_and_none_is_always_first(clock: list[float]) -> None:
    """The order of a round is that of the one before, moved on by one."""
    order: list[str] = []

    def action(name: str) -> None:
        order.append(name)
        clock[0] += 1

    looking.compare(
        partial(action, "bare"), {name: partial(action, name) for name in "ab"}, rounds=8
    )
    assert order[:9] == ["bare", "a", "b", "a", "b", "bare", "b", "bare", "a"]


def test_every_signal_is_in_the_table_once_and_so_is_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of every step beside a step, those of evaluations beside an evaluation; each can be
    watched on its own."""
    timed: list[str] = []

    def once(
        bare: Callable[[], object], watched: Mapping[str, Callable[[], object]], rounds: int
    ) -> looking.Costs:
        for name, action in watched.items():
            action()
            timed.append(name)
        return []

    monkeypatch.setattr(looking, "compare", once)
    looking.looking_costs()
    looking.evaluation_costs()
    whole = [looking.EVERY, looking.ON_DISK]
    assert timed == [*names("step"), *whole, *names("evaluation"), looking.EVERY]


def names(cadence: str) -> list[str]:
    return [signal.name for signal in SIGNALS if signal.cadence == cadence]
