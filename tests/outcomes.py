"""Outcomes of a calibration written by hand."""

from calibration.history import Entry
from calibration.outcome import Outcome
from model import BREAKS


def outcome_of(name: str, said: str, **fields) -> Outcome:
    """An outcome whose condition and seed are taken from its name."""
    condition, _, seed = name.rpartition("-")
    condition = "sampled" if condition.startswith("sampled") else condition
    expected = BREAKS[condition].cause if condition in BREAKS else None
    return Outcome(name, condition, int(seed), said, expected, alarm=said != "healthy", **fields)


def entry(*outcomes: Outcome, digest: str = "a", seeds: tuple[int, int] = (1000, 1459)) -> Entry:
    config = {"model.d_model": 32, "optimizer.lr_max": 0.01}
    return Entry("abc", "2030-01-01", digest, seeds, {"07": config}, outcomes)


OUTCOMES = (
    *(outcome_of(f"healthy-{seed}", "healthy") for seed in range(1000, 1004)),
    outcome_of("healthy-1004", "overfit", headline="val rises", found=("overfitting",)),
    outcome_of("mask-leak-1000", "mask-leak", certain_since=20, margin=1.0),
    outcome_of("mask-leak-1001", "mask-leak", certain_since=30),
    outcome_of("mask-leak-1002", "mask-leak", certain_since=70, margin=3.0),
    outcome_of("mask-leak-1003", "overfit", certain_since=90, headline="val rises"),
    outcome_of("sampled-07-1300", "healthy"),
    outcome_of("sampled-07-1301", "undetermined", headline="no cause explains it"),
    outcome_of("sampled-07-1302", "overfit", unlabelled="val ends 4% above its minimum"),
)
