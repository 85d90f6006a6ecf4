"""The lines that show the progress of a training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from probes.plugin.terminal import UPDATES_PER_SECOND, Progress


def written(ticks: list[float], total: int = 60) -> list[str]:
    """The lines that are written if the clock shows these seconds at the start of the training and
    after each step."""
    clock: Iterator[float] = iter(ticks)
    lines: list[str] = []
    progress = Progress("healthy", lines.append, lambda: next(clock))
    for step in range(len(ticks) - 1):
        progress(step, total)
    return lines


def test_the_first_step_is_shown_at_once() -> None:
    assert written([0.0, 0.001]) == ["training healthy: step 1/60"]


def test_steps_that_follow_fast_are_left_out() -> None:
    assert written([0.0, 0.001, 0.002, 0.003]) == ["training healthy: step 1/60"]


def test_slow_steps_are_all_shown() -> None:
    assert written([0.0, 1.0, 2.0, 3.0]) == [
        f"training healthy: step {step}/60" for step in (1, 2, 3)
    ]


def test_updates_per_second_are_limited() -> None:
    ticks = [step / 1000 for step in range(1001)]
    assert len(written(ticks)) <= UPDATES_PER_SECOND + 1


@pytest.mark.parametrize(
    ("total", "line"), [(60, "training healthy: step 1/60"), (0, "training healthy: step 1")]
)
def test_an_unknown_number_of_steps_is_left_out(total: int, line: str) -> None:
    assert written([0.0, 1.0], total) == [line]
