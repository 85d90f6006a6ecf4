"""Which verdict can be known at all, per fault and per set of signals: written down before the
detectors that give it.

The only source of the tables in `docs/what-can-be-known.md` (`python studies/knowable.py --write`)
and of what the diagnosis of `testing.faults` is held to. A Python table and no data file, because
types check it and a rule is written once for all sets; under `tests`, because nothing in `probes`
may read it: a detector that did would know the answer.

A row gives rules, from knowing less to knowing more; a cell is the last rule whose signals are all
there. So a further signal never takes away what was known, and each argument is written once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

LOSS, LR, NORM, VAL = "loss", "lr", "grad_norm", "val_loss"
OWN = "own"
"""Stands for the rest of our own record: facts, and signals by layer, matrix and head."""

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
    """What can be known from some signals on, and the argument why.

    kind     one of        unhealthy; `what` are the causes that cannot be told apart, a single one
             is named
             note          healthy; `what` is what to remark
             not judged    healthy as far as it goes; `what` is what is missing; a detector that it
                           names must be listed as not having judged
             cannot judge  no verdict, and no alarm; `what` is the reason
             healthy       nothing found, and enough was there to look
    needs    the signals besides the loss
    like     the row of a run that looks the same from here, and so must get the same verdict
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
    """A fault, or a run that is well but hard to judge. `rules` go from knowing less to knowing
    more."""

    name: str
    means: str
    rules: tuple[Known, ...]

    def cell(self, signals: frozenset[str]) -> Known:
        """What can be known from these signals. Raises LookupError when the table does not say."""
        fitting = [rule for rule in self.rules if rule.needs <= signals]
        if not fitting:
            raise LookupError(f"{self.name}: nothing is said of {', '.join(sorted(signals))}")
        return fitting[-1]


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
    "a mean loss within its error of ln K, K small, from first to last: what a model scores that knows nothing of its "
    "input, because it does not learn or because there is nothing to learn"
)
LOST = "what had been learned is lost and does not come back: no schedule and no noise does that"

ROWS: tuple[Row, ...] = (
    Row("diverged", "the loss climbs away from where it began", (
        named("diverged", "lr-too-high", why="it ends at more than it started with and has not turned down; a bump "
              "after a warmup or a resumption comes back, harder data are a step and no climb. A rate that is too high "
              "does it as well as a wrong update"),
    )),
    Row("lr-too-high, from the start", "the first updates throw the loss above its start, where it stays", (
        named("diverged", "lr-too-high", why="training made it worse than it was; whether by its rate or by a wrong "
              "update, only a lower rate would show, and a constant rate is no lower one"),
    )),
    Row("lr-too-high, for good", "what was learned is lost as the rate rises, and stays lost as it falls", (
        named("diverged", "lr-too-high", "vanishing-gradients", why=LOST, like="vanishing-gradients, all of them"),
        named("diverged", "lr-too-high", needs=NORM, why="the norm is not 0, so gradients still arrive"),
        named("lr-too-high", needs=LR, why="the loss turns up while the rate goes up, far above the rate at which it "
              "still fell, so the log holds the lower rate that would have done"),
    )),
    Row("lr-too-high, under a schedule", "the loss rises while the rate is high and falls again with it", (
        note("the loss rose for long and came back", "warm restarts and harder data for a while look the same"),
        named("lr-too-high", needs=LR, why="the loss rises and falls with the rate, gives back over a quarter of what "
              "was learned and ends no better than before: a restart that is meant ends lower"),
    )),
    Row("lr-too-high, constant", "the loss falls, but not as far as at a lower rate", (
        not_judged("no lower rate to compare with", "a harder task rests at the same level and is as noisy"),
    )),
    Row("non-finite", "a loss, or a gradient norm from there on, is NaN or infinite", (
        named("non-finite", why="one such loss is enough: arithmetic never makes the weights finite again. A gradient "
              "norm alone that is infinite now and then, the loss being finite, is half precision finding its scale: "
              "healthy"),
    )),
    Row("non-finite, filtered from the loss", "the trainer writes 0 where the loss was NaN", (
        named("loss-zero", "non-finite", why="from one point to the next the loss is exactly 0 and stays: no task gets "
              "easy at once", like="loss-zero"),
        named("non-finite", needs=NORM, why="the gradient norm is NaN from there on"),
        named("non-finite", needs=VAL, why="so is val_loss"),
    )),
    Row("overfit", "validation loss rises for good while training loss goes on falling", (
        not_judged("overfitting: no val_loss", "a training loss that falls is all that there is"),
        named("overfit", needs=VAL, why="the rise is larger than the waves of val_loss and lasts, the training loss is "
              "below what it was at the turn. A gap that is large but steady, and a loss a few percent above its "
              "minimum, are none"),
    )),
    Row("plateau, at ln K", "the loss rests at ln K from first to last", (
        named(*AT_LN_K, why=RESTS_AT_LN_K, like="shuffled-labels, not yet memorised"),
        named("plateau", needs=OWN, why="the ladder says what a model scores that knows more, and none is reached"),
    )),
    Row("plateau, down to ln K", "the loss comes down to ln K, and rests there", (
        named(*AT_LN_K, why="the second half of the log lies within two thousandths of the distance to the next "
              "level, nearer than a loss comes by chance: what was learned is only not to be wrong"),
        named("plateau", needs=OWN, why="the ladder says what a model scores that knows more, and none is reached"),
    )),
    Row("plateau, elsewhere", "the loss never falls, and no ln K is near", (
        cannot(NO_FALL, "fine-tuning on what is known already, and a log that begins after convergence, are as flat; "
               "from scratch the level means nothing without a vocabulary or a baseline", like="learned before"),
        named("plateau", needs=OWN, why="the level lies on a rung of the ladder, or near ln V with the run half over; "
              "without a ladder, as in a regression, it stays unjudged", ),
    )),
    Row("plateau, at the frequencies", "the loss falls to what is had without looking at the input, and rests", (
        not_judged("stalled: no ladder", "a task of that difficulty converges in the same way and to any level"),
        named("plateau", needs=OWN, why="the rung `unigram` is that level"),
    )),
    Row("loss-spike", "the loss jumps by much of what was learned", (
        named("loss-spike", why="a jump far outside the noise that gives back a quarter of all that was learned is "
              "seen, if a point of the log lies on it. It says what happened, not why: a change of data does it too"),
        named("loss-spike", needs=LR, why="as before, and the rate did not jump with it: one that did is a restart"),
    )),
    Row("exploding-gradients", "the gradient norm grows without end and takes the loss with it", (
        named("diverged", "lr-too-high", why="only the outcome is seen, and only if the loss ends above its start",
              like="diverged"),
        named("exploding-gradients", needs=NORM, why="the norm rises by orders of magnitude over many points, before "
              "the loss does. One outlying norm is none; a rise without harm to the loss is a note, since weights "
              "sharpen in healthy runs; a norm that is written down after clipping shows nothing"),
    )),
    Row("vanishing-gradients, all of them", "no gradient arrives any more: dead units, a detached graph", (
        named("diverged", "lr-too-high", "vanishing-gradients", why=LOST, like="lr-too-high, for good"),
        named("diverged", "lr-too-high", "vanishing-gradients", needs=LR, why="the rate did not rise before it, and a "
              "constant one holds no lower one to compare with"),
        named("vanishing-gradients", needs=NORM, why="the norm is exactly 0 and the loss is not. Near 0 is not enough: "
              "on a full batch a converged regression gets there, at whatever loss its noise leaves"),
    )),
    Row("vanishing-gradients, early layers", "the last layer gets its gradient, those before it next to none", (
        named(*AT_LN_K, why=RESTS_AT_LN_K + "; the norm of the whole is the last layer's and looks as it should",
              like="plateau, at ln K"),
        named("vanishing-gradients", needs=OWN, why="`grad_norm_by_layer` falls by orders of magnitude from the last "
              "to the first layer, and the loss rests"),
    )),
    Row("loss-zero", "the loss is exactly 0 because no target counts", (
        named("loss-zero", "non-finite", why="exactly 0 from one point to the next, or from the first on; an easy "
              "task, rounded, gets there through small numbers. Some trainers write 0 for NaN",
              like="non-finite, filtered from the loss"),
        named("loss-zero", needs=VAL, why="val_loss stays finite, so the weights are"),
        named("loss-zero", needs=NORM, why="the norm is exactly 0 with it; an easy task keeps a small gradient, NaN "
              "has no norm"),
    )),
    Row("corrupted-labels", "a share of the labels is wrong", (
        not_judged("nothing says what loss right labels would give", "a harder task stalls at the same level; "
                   "training loss above val_loss, where that split is clean, is dropout's signature too. Once they are "
                   "memorised it is `overfit`"),
    )),
    Row("shuffled-labels, not yet memorised", "labels have nothing to do with the inputs", (
        named(*AT_LN_K, why=RESTS_AT_LN_K + ". With classes of unlike frequency the level is no ln K and it is "
              "`plateau, at the frequencies`", like="plateau, at ln K"),
        named(*AT_LN_K, needs=OWN, why="of balanced classes the frequencies are worth ln K as well; probes of the "
              "gradient would be needed"),
    )),
    Row("shuffled-labels, memorised", "unrelated labels, learned by heart", (
        not_judged("overfitting: no val_loss", "a training loss that falls is all that there is"),
        named("overfit", "shuffled-labels", needs=VAL, why="val_loss rises from its first point on, so nothing carries "
              "over; a small set of good data, evaluated too late to see its minimum, looks the same"),
    )),
    Row("no-warmup", "the rate starts at its peak, and the first updates overwrite the initialisation", (
        not_judged("schedule: no lr", "the loss falls more slowly, and no curve says more slowly than what"),
        note("lr starts at its peak", "a constant rate and a bare cosine start there too and are as good below some "
             "rate; a loss that first rises far above its start is `diverged or lr-too-high`", needs=LR),
        named("no-warmup", needs=OWN, why="the first update changes what a layer computes more than twofold"),
    )),
    Row("lr-too-low", "the loss falls in a straight line and is still falling at the end", (
        note("still falling at its end", "a run that was stopped early is as straight; both want more steps or a "
             "higher rate, and neither is broken"),
    )),
    Row("lr-zero", "the rate is 0 throughout", (
        cannot(NO_FALL, "as any other loss that never falls", like="plateau, elsewhere"),
        named("lr-zero", needs=LR, why="every rate is 0 and the loss never falls; one that falls says that the log "
              "rounds its rates"),
    )),
    Row("schedule-ended-early", "the rate is 0 long before the run ends", (
        not_judged("schedule: no lr", "flat from there on is what convergence looks like"),
        named("schedule-ended-early", needs=LR, why="steps at rate 0, more than a tenth of the log, cannot do "
              "anything: harm enough. A last row at 0 is where a schedule ends; a small rate that is held is meant; a "
              "log that ends before its rate does is a checkpoint"),
    )),
    Row("schedule-never-stepped", "a schedule was meant and the rate never moves", (
        not_judged("schedule: no lr", "nothing else shows it"),
        note("lr is constant", "a constant rate is legitimate and no log says what was meant", needs=LR),
        named("schedule-never-stepped", needs=OWN, why="the record declares a schedule that is not constant"),
    )),
    Row("mask-leak", "the model sees what it is to predict", (
        not_judged("floor: none is stated", "a loss that falls fast and far is what one hopes for; val_loss falls too"),
        named("mask-leak", needs=OWN, why="full-split loss below the split's entropy floor, a bound"),
    )),
    Row("bad-init", "the weights start far too large", (
        not_judged("initial-loss: no vocab_size", "a first loss is high only against ln V; a steep fall from it is "
                   "what a regression in large units and a new head on old weights begin with"),
        named("bad-init", needs=OWN, why="the first loss against ln V"),
    )),
    Row("healthy", "nothing is wrong", (
        Known("healthy", (), "twenty points of a finite loss that falls, and no finding. Beside the verdict stands "
              "what could not be judged: without val_loss, overfitting; without lr, the schedule; without grad_norm, "
              "gradients; without facts, the first loss, leaks and rests"),
    )),
    Row("learned before", "the loss is flat because what there is to learn was learned before the log begins", (
        cannot(NO_FALL, "a run that learns nothing is as flat; saying healthy would pass every dead run, an alarm "
               "would stop every late one", like="plateau, elsewhere"),
        cannot(NO_FALL, "the level is below every rung of the ladder, so something was learned, and not in this run",
               needs=OWN),
    )),
    Row("a fall within its noise", "less is learned than the noise of the loss shows", (
        cannot(NO_FALL, "it ends lower by fewer than three standard errors, as one may that had learned before its log "
               "began", like="learned before"),
    )),
    Row("too short", "fewer than twenty points of loss", (
        cannot("too few points of loss", "a trend cannot be told from noise; NaN, exact zeros and a rate of 0 still "
               "could, with what they need"),
    )),
    Row("reinforcement learning", "a policy's loss", (
        cannot("reinforcement learning", "the loss of a policy is near 0, of both signs, and says nothing of how well "
               "it does. Columns of rewards tell, and signs do when only a loss is left: a density's loss that falls "
               "through 0 changes its sign once"),
    )),
)  # fmt: skip

WELL = (
    "healthy",
    "learned before",
    "a fall within its noise",
    "too short",
    "reinforcement learning",
)
"""Rows of runs that are in order, or are not for this to judge; the others are faults."""

BY_NAME: Mapping[str, Row] = {row.name: row for row in ROWS}

CALLED: Mapping[str, tuple[str, ...]] = {
    "plateau": ("learns-nothing", "blind-to-input", "blind-to-context"),
}
"""Causes that the diagnosis names in other words, or more closely than the table."""


def met(known: Known, cause: str | None) -> bool:
    """Whether a named cause is among those that can be known."""
    return any(cause == name or cause in CALLED.get(name, ()) for name in known.causes)
