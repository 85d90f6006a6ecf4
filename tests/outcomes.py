"""Outcomes made by hand: what is counted when no run is judged."""

from calibration.history import Entry
from calibration.outcome import Outcome
from model import BREAKS


def of(name: str, said: str, **fields) -> Outcome:
    """An outcome by hand; its condition and seed are read off its name."""
    condition, _, seed = name.rpartition("-")
    condition = "sampled" if condition.startswith("sampled") else condition
    expected = BREAKS[condition].cause if condition in BREAKS else None
    return Outcome(name, condition, int(seed), said, expected, alarm=said != "healthy", **fields)


def entry(*outcomes: Outcome, by: str = "a", seeds: tuple[int, int] = (1000, 1459)) -> Entry:
    config = {"model.d_model": 32, "optimizer.lr_max": 0.01}
    return Entry("abc", "2030-01-01", by, seeds, {"07": config}, outcomes)


HAND = (
    *(of(f"healthy-{seed}", "healthy") for seed in range(1000, 1004)),
    of("healthy-1004", "overfit", headline="val rises", found=("overfitting",)),
    of("mask-leak-1000", "mask-leak", certain_since=20, margin=1.0),
    of("mask-leak-1001", "mask-leak", certain_since=30),
    of("mask-leak-1002", "mask-leak", certain_since=70, margin=3.0),
    of("mask-leak-1003", "overfit", certain_since=90, headline="val rises"),
    of("sampled-07-1300", "healthy"),
    of("sampled-07-1301", "undetermined", headline="no cause explains it"),
    of("sampled-07-1302", "overfit", unlabelled="val ends 4% above its minimum"),
)
