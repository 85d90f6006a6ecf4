"""Measures how harmful the faults of the zoo are.

    python -m studies.zoo_harm --write    every fault at every dose; writes model/zoo_harm.json
    python -m studies.zoo_harm --full     full doses only
    python -m studies.zoo_harm NAME ...   these faults only

Each fault is trained at each dose on the six seeds of SEEDS and paired with the healthy run of the
same seed. The true loss decides: that of the final weights, on correct rows and with the correct
loss function. The fault is removed first unless it stays in the model that is used afterwards
(`Fault.deployed`). Validation rows on which the faulty run was trained are left out in both runs.

    deceptive    a recorded loss ends more than 5 % better in the median and better on all seeds,
                 but the true validation loss is not more than 5 % better in the median
    harmful      the true validation or training loss is more than 5 % worse in the median, and
                 worse on all seeds
    borderline   one of the two conditions of "harmful" holds
    harmless     neither of them holds

Trainings are kept in `.calibration/zoo_harm`, so that nothing is trained twice. The full doses of
all faults are trained first on half of the seeds. Other seeds and other doses follow."""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from math import inf, isfinite
from pathlib import Path
from statistics import median

import numpy as np

from model import HEALTHY, Config, build
from model.batches import shortest_first
from model.config import leaves
from model.corpus import SEQUENCES
from model.evaluation import Evaluation
from model.layers import CrossEntropy
from model.params import Array
from model.train import Specimen
from model.zoo import ZOO, Fault
from probes.common.files import write_output
from probes.common.markdown import markdown_table
from testing.small_net import Row
from testing.trained_runs import FOLDER, load_or_make_log

SEEDS = range(6)
"""The first of the choosing seeds."""
MIN_WORSE = 0.05
"""A difference below 5 % may come from the seed alone."""
LABELS = Path(__file__).resolve().parent.parent / "model" / "zoo_harm.json"
LAST_STEPS = 12
"""The recorded training loss is a mean over the last tenth of the steps."""


@dataclass(frozen=True)
class Harm:
    """What a fault does at one dose.

    label           "harmful", "deceptive", "borderline" or "harmless"
    val, train      true loss of the faulty run divided by that of the healthy run, as the median
                    over the seeds; None if this is not a finite number
    recorded_val    the same ratio of recorded validation losses
    recorded_loss   the same ratio of recorded training losses
    worse           number of seeds on which the true validation loss is worse
    seeds           number of seeds; a label from fewer than all of SEEDS is preliminary
    """

    label: str
    val: float | None
    train: float | None
    recorded_val: float | None
    recorded_loss: float | None
    worse: int
    seeds: int


def train(specimen: Specimen, deployed: bool) -> list[Row]:
    """Train a specimen to the end, and return its losses.

    The first row holds the recorded losses and the true training loss. Each further row belongs to
    one row of the validation split: its true loss in nats, its number of tokens, and whether the
    run was trained on it."""
    seen: set[int] = set()
    losses: list[float] = []
    recorded = {}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in specimen.steps():
            seen.update(int(i) for i in step.batch_ids)
            losses.append(step.loss)
            if step.evaluation is not None:
                recorded = dict(step.evaluation)
        by_token = _true_losses(specimen, deployed)
    ids = shortest_first(specimen.split.val)
    lengths = [len(SEQUENCES[i].text) - 1 for i in ids]
    rows = np.split(by_token["val"], np.cumsum(lengths)[:-1])
    summary = {
        "val": recorded["val_loss"],
        "loss": float(np.mean(losses[-LAST_STEPS:])),
        "train": float(by_token["train"].mean()),
    }
    return [
        summary,
        *(
            {"nats": float(row.sum()), "tokens": len(row), "seen": int(int(i) in seen)}
            for i, row in zip(ids, rows, strict=True)
        ),
    ]


def _true_losses(specimen: Specimen, deployed: bool) -> Mapping[str, Array]:
    """True loss of each token of both splits, "train" and "val", with the final weights."""
    if deployed:
        model = specimen.model
        model.cross_entropy = CrossEntropy()
    else:
        clean = build(replace(HEALTHY, seed=specimen.config.seed, model=specimen.config.model))
        clean.set_weights(specimen.weights())
        model = clean.model
    evaluation = Evaluation(specimen.split, "causal")
    return {part: evaluation.token_losses(model, part) for part in ("train", "val")}


def config_of(seed: int) -> Config:
    """HEALTHY with as few evaluations as possible, because evaluations change no weight and take
    most of the time."""
    return replace(HEALTHY, seed=seed, eval_every=HEALTHY.steps)


@cache
def _training_hash() -> str:
    """A hash of the losses of a short healthy run, used in place of the source of the model. If a
    change of the source leaves these losses equal, no new training is needed."""
    digest = hashlib.sha256()
    for step in build(replace(HEALTHY, steps=16, eval_every=16)).steps():
        digest.update(repr((step.loss, step.lr, step.grad_norm, step.evaluation)).encode())
    return digest.hexdigest()


def run_of(fault: Fault | None, dose: float, seed: int) -> list[Row]:
    """The kept result of a training, or that of a new one. Without a fault the run is healthy."""
    config = config_of(seed)
    own = fault.own_hash(dose) if fault else ""
    key = "-".join((_training_hash(), repr(leaves(config)), own))
    name = f"{fault.name}-{dose:g}-{seed}" if fault else f"healthy-{seed}"

    def make() -> list[Row]:
        specimen = fault.build(config, dose) if fault else build(config)
        result = train(specimen, deployed=fault is not None and fault.deployed)
        del specimen
        gc.collect()  # a replaced part and its specimen refer to each other
        return result

    return load_or_make_log(name, key, make, FOLDER / "zoo_harm")


def compared(faulty: Sequence[list[Row]], healthy: Sequence[list[Row]]) -> Harm:
    """The harm of a fault from its runs and the healthy runs of the same seeds."""
    val, train_, recorded_val, recorded_loss = [], [], [], []
    for (summary, *rows), (reference, *reference_rows) in zip(faulty, healthy, strict=True):
        unseen = [i for i, row in enumerate(rows) if not row["seen"]]
        val.append(_ratio(_mean(rows, unseen), _mean(reference_rows, unseen)))
        train_.append(_ratio(summary["train"], reference["train"]))
        recorded_val.append(_ratio(summary["val"], reference["val"]))
        recorded_loss.append(_ratio(summary["loss"], reference["loss"]))
    truly_better = median(val) < 1 - MIN_WORSE
    if not truly_better and any(
        median(ratios) < 1 - MIN_WORSE and max(ratios) < 1
        for ratios in (recorded_val, recorded_loss)
    ):
        label = "deceptive"
    elif any(median(ratios) > 1 + MIN_WORSE and min(ratios) > 1 for ratios in (val, train_)):
        label = "harmful"
    elif any(median(ratios) > 1 + MIN_WORSE or min(ratios) > 1 for ratios in (val, train_)):
        label = "borderline"
    else:
        label = "harmless"
    return Harm(
        label,
        val=_rounded(median(val)),
        train=_rounded(median(train_)),
        recorded_val=_rounded(median(recorded_val)),
        recorded_loss=_rounded(median(recorded_loss)),
        worse=sum(ratio > 1 for ratio in val),
        seeds=len(val),
    )


def _mean(rows: Sequence[Row], chosen: Sequence[int]) -> float:
    return sum(rows[i]["nats"] for i in chosen) / max(1, sum(rows[i]["tokens"] for i in chosen))


def _ratio(loss: float, reference: float) -> float:
    return loss / reference if isfinite(loss) else inf


def _rounded(ratio: float) -> float | None:
    return round(ratio, 4) if isfinite(ratio) else None


def doses_of(fault: Fault) -> tuple[float, ...]:
    return fault.doses or (fault.full_dose,)


def labels() -> dict[tuple[str, float], str]:
    """(Name of a fault, dose) -> label, for all that were measured."""
    kept = json.loads(LABELS.read_text(encoding="utf-8")) if LABELS.exists() else {}
    return {
        (name, float(dose)): harm["label"] for name, by in kept.items() for dose, harm in by.items()
    }


def measure(
    plan: Sequence[tuple[Fault, float]], seeds: Sequence[int], keep: bool
) -> dict[str, dict[str, Harm]]:
    """Name of a fault -> dose -> harm. Each result is printed at once. With `keep` it is also
    written to the file of labels."""
    healthy = [run_of(None, 0.0, seed) for seed in seeds]
    found: dict[str, dict[str, Harm]] = {}
    for fault, dose in plan:
        harm = compared([run_of(fault, dose, seed) for seed in seeds], healthy)
        found.setdefault(fault.name, {})[f"{dose:g}"] = harm
        print(f"{fault.name} {dose:g}: {harm}", file=sys.stderr, flush=True)
        if keep:
            write(fault, dose, harm)
    return found


def write(fault: Fault, dose: float, harm: Harm) -> None:
    """Write a label, unless the file holds one from more seeds. Labels of faults and doses that the
    zoo no longer has are left out."""
    kept = json.loads(LABELS.read_text(encoding="utf-8")) if LABELS.exists() else {}
    of_fault = kept.setdefault(fault.name, {})
    if of_fault.get(f"{dose:g}", {}).get("seeds", 0) <= harm.seeds:
        of_fault[f"{dose:g}"] = asdict(harm)
    ordered = {
        name: {
            dose: kept[name][dose]
            for dose in map("{:g}".format, doses_of(one))
            if dose in kept[name]
        }
        for name, one in ZOO.items()
        if name in kept
    }
    write_output(LABELS, json.dumps(ordered, indent=1) + "\n")


def table(harms: Mapping[str, Mapping[str, Harm]]) -> str:
    rows = [
        (
            name,
            ZOO[name].category,
            dose,
            harm.label,
            *map(_cell, (harm.val, harm.train, harm.recorded_val, harm.recorded_loss)),
            f"{harm.worse} of {harm.seeds}",
        )
        for name in ZOO
        if name in harms
        for dose, harm in harms[name].items()
    ]
    head = ("fault", "category", "dose", "harm", "val", "train", "recorded val", "recorded loss")
    return "\n".join(markdown_table((*head, "worse on"), rows))


def _cell(ratio: float | None) -> str:
    return "not finite" if ratio is None else f"{ratio:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults (default: all)")
    parser.add_argument("--full", action="store_true", help="full doses only")
    parser.add_argument("--write", action="store_true", help=f"write {LABELS.name}")
    given = parser.parse_args(arguments)
    faults = [ZOO[name] for name in given.names or ZOO]
    plan = [(fault, fault.full_dose) for fault in faults]
    measure(plan, SEEDS[: len(SEEDS) // 2], given.write)
    if not given.full:
        plan += [(fault, d) for fault in faults for d in doses_of(fault) if d != fault.full_dose]
    print(table(measure(plan, SEEDS, given.write)))


if __name__ == "__main__":
    main()
