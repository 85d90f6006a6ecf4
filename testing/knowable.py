"""Which verdict can be known, per fault and per set of signals. It was written down before the
detectors that give the verdicts.

This is the only source of the tables in docs/what-can-be-known.md (`python -m studies.knowable
--write`), and what the diagnoses of `testing.faults` are compared with. It is a Python table and
not a data file, because type checkers can check it and a rule is written once for all sets of
signals. It lies outside `probes`, because a detector that read it would know the answer.

The rules of a row go from few signals to many. What can be known from some signals is the last rule
whose signals are all present. So more signals never take away what was known, and each argument is
written once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

LOSS, LR, NORM, VAL = "loss", "lr", "grad_norm", "val_loss"
OWN = "own"
"""The rest of our own record: facts, and signals per layer, matrix and head."""

SETS: Mapping[str, frozenset[str]] = {
    "loss": frozenset({LOSS}),
    "loss, lr": frozenset({LOSS, LR}),
    "loss, grad_norm": frozenset({LOSS, NORM}),
    "loss, val_loss": frozenset({LOSS, VAL}),
    "loss, lr, grad_norm": frozenset({LOSS, LR, NORM}),
    "all four": frozenset({LOSS, LR, NORM, VAL}),
    "own record": frozenset({LOSS, LR, NORM, VAL, OWN}),
}

Verdict = Literal["healthy", "unhealthy", "undetermined"]
Kind = Literal["one of", "note", "not judged", "cannot judge", "healthy"]


class Known(NamedTuple):
    """What can be known from certain signals, and why.

    kind     "one of"        unhealthy; `what` holds the causes that cannot be told apart
             "note"          healthy; `what` is the remark that is expected
             "not judged"    healthy as far as can be judged; `what` says what is missing. If it
                             begins with the name of a detector, that detector must be listed as
                             not having judged
             "cannot judge"  no verdict and no alarm; `what` is the reason
             "healthy"       nothing is found, and the log holds enough to say so
    needs    the signals that are needed besides the loss
    like     the row of a run that looks the same from these signals, so that both must get the same
             verdict
    """

    kind: Kind
    what: tuple[str, ...]
    why: str
    needs: frozenset[str] = frozenset()
    like: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.kind == "one of":
            return "unhealthy"
        return "undetermined" if self.kind == "cannot judge" else "healthy"

    @property
    def causes(self) -> tuple[str, ...]:
        return self.what if self.kind == "one of" else ()

    def __str__(self) -> str:
        if self.kind == "one of":
            names = " or ".join(f"`{name}`" for name in self.what)
            return names if len(self.what) == 1 else f"unhealthy: {names}"
        return "healthy" if self.kind == "healthy" else f"{self.kind}: {self.what[0]}"


class Row(NamedTuple):
    """A fault, or a run without a fault that is hard to judge.

    means  what happens in such a run
    rules  from few signals to many
    """

    name: str
    means: str
    rules: tuple[Known, ...]

    def cell(self, signals: frozenset[str]) -> Known:
        """What can be known from these signals. Raises LookupError when no rule applies."""
        applying = [rule for rule in self.rules if rule.needs <= signals]
        if not applying:
            raise LookupError(f"{self.name}: no rule applies to {', '.join(sorted(signals))}")
        return applying[-1]


def named(*causes: str, why: str, needs: str = "", like: str = "") -> Known:
    return Known("one of", causes, why, frozenset(needs.split()), like)


def note(what: str, why: str, needs: str = "", like: str = "healthy") -> Known:
    return Known("note", (what,), why, frozenset(needs.split()), like)


def not_judged(what: str, why: str, needs: str = "", like: str = "healthy") -> Known:
    return Known("not judged", (what,), why, frozenset(needs.split()), like)


def cannot(what: str, why: str, needs: str = "", like: str = "") -> Known:
    return Known("cannot judge", (what,), why, frozenset(needs.split()), like)


NO_FALL = "the loss never fell"
AT_LN_K = ("plateau", "shuffled-labels")
RESTS_AT_LN_K = (
    "From first to last the mean loss is within its error of ln K for a small K. That is the loss "
    "of a model that knows nothing of its input, because it does not learn or because there is "
    "nothing to learn."
)
LADDER = "The ladder gives the losses of models that know more, and the run reaches none of them."
LOST = "What was learned is lost and does not come back. No schedule and no noise has this effect."
ONLY_TRAIN = "The falling training loss is all that the log holds."

ROWS: tuple[Row, ...] = (
    Row("diverged", "the loss climbs away from its start", (
        named("diverged", "lr-too-high",
              why="The loss ends above its start and has not turned down. A bump after a warmup or "
                  "a resumption comes back; harder data make a step, not a climb. A learning rate "
                  "that is too high and a wrong update both have this effect."),
    )),
    Row("lr-too-high, from the start",
        "the first updates throw the loss above its start, and it stays there", (
        named("diverged", "lr-too-high",
              why="Training made the loss worse. Only a lower learning rate would show whether the "
                  "rate or a wrong update did it, and a log with a constant rate has none."),
    )),
    Row("lr-too-high, for good",
        "what was learned is lost as the learning rate rises, and stays lost as it falls", (
        named("diverged", "lr-too-high", "vanishing-gradients", why=LOST,
              like="vanishing-gradients, all of them"),
        named("diverged", "lr-too-high", needs=NORM,
              why="The norm is not 0, so gradients still arrive."),
        named("lr-too-high", needs=LR,
              why="The loss turns up while the learning rate rises, at a rate far above the one at "
                  "which it still fell. So the log itself holds a lower rate that works."),
    )),
    Row("lr-too-high, under a schedule",
        "the loss rises while the learning rate is high and falls again with it", (
        note("the loss rose for long and came back",
             "Warm restarts, or harder data for a while, look the same."),
        named("lr-too-high", needs=LR,
              why="The loss rises and falls with the learning rate, loses over a quarter of what "
                  "was learned, and ends no better than before. A deliberate restart ends lower."),
    )),
    Row("lr-too-high, in part for good",
        "the loss rises while the learning rate is high, and comes down with it only in part", (
        cannot("loss ends above its lowest",
               "The loss ends a quarter above its lowest level. Harder data do that as well."),
        named("diverged", "lr-too-high", "vanishing-gradients", needs=VAL,
              why="Validation loss ends a fifth above its lowest, and the training loss has risen "
                  "since then as well. No memorisation does that."),
        named("diverged", "lr-too-high", needs=f"{VAL} {NORM}",
              why="The norm is not 0, so gradients still arrive."),
        named("lr-too-high", needs=LR,
              why="The loss rises with the learning rate, loses over a quarter of what was "
                  "learned, and ends no better than before."),
    )),
    Row("lr-too-high, constant", "the loss falls, but not as far as at a lower learning rate", (
        not_judged("no lower rate to compare with",
                   "The loss of a harder task rests at the same level and is as noisy."),
    )),
    Row("non-finite", "a loss is NaN or infinite, or every gradient norm from some step on", (
        named("non-finite",
              why="One such loss is enough, since arithmetic never makes the weights finite again. "
                  "A gradient norm that is infinite now and then, while the loss is finite, is "
                  "healthy: half precision searching for its scale."),
    )),
    Row("non-finite, from the first step", "no gradient is finite, so no update is made", (
        cannot(NO_FALL, "Any other loss that never falls looks the same.",
               like="plateau, elsewhere"),
        named("non-finite", needs=NORM,
              why="No norm of the whole log is finite, and the loss stands still. A search for the "
                  "loss scale ends."),
    )),
    Row("non-finite, filtered from the loss", "the trainer writes 0 where the loss was NaN", (
        named("loss-zero", "non-finite",
              why="From one point to the next the loss is exactly 0, and stays so. No task becomes "
                  "easy at once.", like="loss-zero"),
        named("non-finite", needs=NORM, why="The gradient norm is NaN from there on."),
        named("non-finite", needs=VAL, why="The validation loss is NaN from there on."),
    )),
    Row("overfit", "validation loss rises for good while training loss goes on falling", (
        not_judged("overfitting: no val_loss", ONLY_TRAIN),
        named("overfit", needs=VAL,
              why="The rise is larger than the waves of val_loss, and lasts; the training loss is "
                  "below its value at the turn. A large but steady gap is not overfitting, nor is "
                  "a val_loss a few percent above its minimum."),
    )),
    Row("plateau, at ln K", "the loss rests at ln K from first to last", (
        named(*AT_LN_K, why=RESTS_AT_LN_K, like="shuffled-labels, not yet memorised"),
        named("plateau", needs=OWN, why=LADDER),
    )),
    Row("plateau, down to ln K", "the loss comes down to ln K and rests there", (
        named(*AT_LN_K,
              why="In the second half of the log the loss lies within two thousandths of the "
                  "distance to the next level. A loss does not come so near by chance: the model "
                  "only learned not to be wrong."),
        named("plateau", needs=OWN, why=LADDER),
    )),
    Row("plateau, elsewhere", "the loss never falls, and no ln K is near", (
        cannot(NO_FALL,
               "Fine-tuning on known data, and a log that begins after convergence, are as flat. "
               "From scratch, the level means nothing without a vocabulary or a baseline.",
               like="learned before"),
        named("plateau", needs=OWN,
              why="The level is on a rung of the ladder, or near ln V with half of the run over. "
                  "Without a ladder, as in a regression, it is not judged."),
    )),
    Row("plateau, at the frequencies",
        "the loss falls to what can be had without looking at the input, and rests", (
        not_judged("stalled: no ladder",
                   "A task of that difficulty converges in the same way, and to any level."),
        named("plateau", needs=OWN, why="The rung `unigram` is at that level."),
    )),
    Row("loss-spike", "the loss jumps by a large part of what was learned", (
        named("loss-spike",
              why="A jump far outside the noise, which loses a quarter of all that was learned, "
                  "can be seen if a point of the log lies on it. It says what happened and not "
                  "why: a change of data does it too."),
        named("loss-spike", needs=LR,
              why="As before; and the learning rate did not jump at the same time, as at a "
                  "restart."),
    )),
    Row("exploding-gradients", "the gradient norm grows without end and takes the loss with it", (
        named("diverged", "lr-too-high",
              why="Only the outcome can be seen, and only if the loss ends above its start.",
              like="diverged"),
        named("exploding-gradients", needs=NORM,
              why="The norm rises by orders of magnitude over many points, before the loss does. A "
                  "single outlying norm does not count. A rise that does no harm to the loss is a "
                  "remark, since weights sharpen in healthy runs. A norm that is logged after "
                  "clipping shows nothing."),
    )),
    Row("vanishing-gradients, all of them",
        "no gradient arrives any more: dead units, or a detached graph", (
        named("diverged", "lr-too-high", "vanishing-gradients", why=LOST,
              like="lr-too-high, for good"),
        named("diverged", "lr-too-high", "vanishing-gradients", needs=LR,
              why="The learning rate did not rise before it, and a constant rate has no lower one "
                  "to compare with."),
        named("vanishing-gradients", needs=NORM,
              why="The norm is exactly 0 and the loss is not. A norm near 0 is not enough: a "
                  "regression on full batches reaches it when it converges, at whatever loss its "
                  "noise leaves."),
    )),
    Row("vanishing-gradients, early layers",
        "the last layer gets its gradient, the layers before it almost none", (
        named(*AT_LN_K,
              why=f"{RESTS_AT_LN_K} The total norm is that of the last layer and looks normal.",
              like="plateau, at ln K"),
        named("vanishing-gradients", needs=OWN,
              why="`grad_norm_by_layer` falls by orders of magnitude from the last to the first "
                  "layer, and the loss rests."),
    )),
    Row("loss-zero", "the loss is exactly 0 because no target counts", (
        named("loss-zero", "non-finite",
              why="The loss is exactly 0 from one point to the next, or from the first point on. "
                  "The loss of an easy task, once rounded, gets there through small numbers. Some "
                  "trainers write 0 for NaN.", like="non-finite, filtered from the loss"),
        named("loss-zero", needs=VAL,
              why="The validation loss stays finite, and so do the weights."),
        named("loss-zero", needs=NORM,
              why="The norm is exactly 0 as well. An easy task keeps a small gradient, and after "
                  "NaN there is no norm."),
    )),
    Row("corrupted-labels", "a share of the labels is wrong", (
        not_judged("nothing says what loss right labels would give",
                   "A harder task rests at the same level. Where the validation labels are right, "
                   "training loss lies above validation loss, but dropout has that effect too. "
                   "Once the labels are memorised the run is `overfit`."),
    )),
    Row("shuffled-labels, not yet memorised", "the labels have nothing to do with the inputs", (
        named(*AT_LN_K,
              why=f"{RESTS_AT_LN_K} If the classes differ in frequency, the level is not ln K and "
                  "the row is `plateau, at the frequencies`.", like="plateau, at ln K"),
        named(*AT_LN_K, needs=OWN,
              why="With balanced classes the frequencies give ln K as well. Telling the two apart "
                  "would need probes of the gradient."),
    )),
    Row("shuffled-labels, memorised", "unrelated labels are learned by heart", (
        not_judged("overfitting: no val_loss", ONLY_TRAIN),
        named("overfit", "shuffled-labels", needs=VAL,
              why="The validation loss rises from its first point on, so nothing generalises. A "
                  "small set of good data looks the same if it is first evaluated after its "
                  "minimum."),
    )),
    Row("no-warmup",
        "the rate starts at its peak, and the first updates overwrite the initialisation", (
        not_judged("schedule: no lr",
                   "The loss falls more slowly, but nothing says how fast it should fall."),
        note("lr starts at its peak",
             "A constant rate and a cosine without warmup start there too, and below a certain "
             "rate they are as good. A loss that first rises far above its start is `diverged or "
             "lr-too-high`.", needs=LR),
        named("no-warmup", needs=OWN,
              why="The first update changes the output of a layer more than twofold."),
    )),
    Row("lr-too-low", "the loss falls in a straight line and is still falling at the end", (
        note("the loss is still falling at its end",
             "A run that was stopped early looks as straight. Both need more steps or a higher "
             "learning rate, and neither is broken."),
    )),
    Row("lr-zero", "the learning rate is 0 throughout", (
        cannot(NO_FALL, "Any other loss that never falls looks the same.",
               like="plateau, elsewhere"),
        named("plateau", "lr-zero", needs=VAL,
              why="Validation loss is the same at every evaluation to the last digit, so no weight "
                  "changes."),
        named("lr-zero", needs=LR,
              why="Every rate is 0 and the loss never falls. If it does fall, the log rounds its "
                  "rates."),
    )),
    Row("not updated", "no weight changes, and every loss is that of all rows", (
        named("plateau", "lr-zero",
              why="The loss is the same at every point to the last digit. Batches differ, so the "
                  "loss of a model that is trained varies even after it has converged."),
        named("plateau", needs=LR, why="The learning rate is not 0."),
    )),
    Row("schedule-ended-early", "the learning rate is 0 long before the run ends", (
        not_judged("schedule: no lr", "The loss is flat from there on, as after convergence."),
        named("schedule-ended-early", needs=LR,
              why="Steps at rate 0 that make up more than a tenth of the log do nothing, which is "
                  "harm enough. One last row at 0 is the regular end of a schedule; a small rate "
                  "that is held is deliberate; a log that ends before its rate does is that of a "
                  "checkpoint."),
    )),
    Row("schedule-never-stepped", "a schedule was intended and the learning rate never moves", (
        not_judged("schedule: no lr", "No other signal shows it."),
        note("lr is constant", "A constant rate is legitimate, and no log says what was intended.",
             needs=LR),
        named("schedule-never-stepped", needs=OWN,
              why="The record declares a schedule that is not constant."),
    )),
    Row("mask-leak", "the model sees what it is to predict", (
        not_judged("floor: none is stated",
                   "A loss that falls fast and far is what one hopes for, and val_loss falls too."),
        named("mask-leak", needs=OWN,
              why="A changed token moves the logits before it, and attention heads give weight to "
                  "later tokens, at the first step. Later the full-split loss is below the entropy "
                  "floor of the split, which is a bound."),
    )),
    Row("bad-init", "the weights start far too large", (
        not_judged("initial-loss: no vocab_size",
                   "A first loss is high only in comparison with ln V. A steep fall from a high "
                   "loss is also how a regression in large units begins, and a new head on old "
                   "weights."),
        named("bad-init", needs=OWN, why="The first loss is far above ln V."),
    )),
    Row("healthy", "nothing is wrong", (
        Known("healthy", (),
              "The log has twenty points of a finite loss that falls, and no finding. Beside the "
              "verdict stands what could not be judged: overfitting without val_loss, the schedule "
              "without lr, gradients without grad_norm, and without facts the first loss, leaks "
              "and plateaus."),
    )),
    Row("learned before", "the loss is flat because everything was learned before the log begins", (
        cannot(NO_FALL,
               "A run that learns nothing is as flat. Calling it healthy would pass every dead "
               "run; an alarm would stop every run that is continued late.",
               like="plateau, elsewhere"),
        cannot(NO_FALL,
               "The level is below every rung of the ladder, so something was learned, but not in "
               "this run.", needs=OWN),
    )),
    Row("a fall within its noise", "less is learned than the noise of the loss can show", (
        cannot(NO_FALL,
               "The loss ends lower by fewer than three standard errors, which also happens when "
               "everything was learned before the log begins.", like="learned before"),
    )),
    Row("too short", "the log has three points of loss", (
        cannot("too few points of loss",
               "Three values in random order fall from point to point once in six times. Five do "
               "so once in 120 times, so five are enough; so are three of training and three of "
               "validation that fall together. NaN, exact zeros and a rate of 0 can be told from "
               "three points, with the signals that they need."),
    )),
    Row("reinforcement learning", "the loss is that of a policy", (
        cannot("reinforcement learning",
               "The loss of a policy is near 0, has both signs, and does not say how well the "
               "policy does. The log is recognised by columns of rewards or, when it holds only a "
               "loss, by the changes of its sign. The loss of a density that falls through 0 "
               "changes its sign once."),
    )),
)  # fmt: skip

SOUND = (
    "healthy",
    "learned before",
    "a fall within its noise",
    "too short",
    "reinforcement learning",
)
"""Rows of runs that have no fault, or that cannot be judged. All other rows are faults."""

BY_NAME: Mapping[str, Row] = {row.name: row for row in ROWS}

NAMES_IN_DIAGNOSES: Mapping[str, tuple[str, ...]] = {
    "plateau": ("learns-nothing", "blind-to-input", "blind-to-context"),
}
"""A cause of this table -> the causes that a diagnosis names for it, which are more specific."""


def matches(known: Known, cause: str | None) -> bool:
    """Whether a cause that a diagnosis names is one of those that can be known."""
    return any(cause == name or cause in NAMES_IN_DIAGNOSES.get(name, ()) for name in known.causes)
