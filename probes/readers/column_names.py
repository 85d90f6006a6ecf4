"""The table of the column names that trainers use for each signal, and functions to search it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from probes.record import ADVERSARIAL, REINFORCEMENT

STEP, EPOCH, TOTAL = "step", "epoch", "total_steps"
"""Roles of columns that are not signals: they count steps, count epochs, or state how many steps
are planned."""
BATCH, BATCHES = "batch in the epoch", "batches in an epoch"
"""Columns that the reader of printed lines adds. `[50/938]` is batch 50 of 938 in the epoch."""
LOSSES = frozenset({"loss", "train_loss", "val_loss"})

NAMES: Mapping[str, tuple[str, ...]] = {
    STEP: (
        "step", "global_step", "current_steps", "current_step", "trainer_global_step",
        "train_global_step", "steps", "train_step", "iteration", "iter", "iters", "num_updates",
        "train_num_updates", "valid_num_updates", "update", "batch_step", "iter_num", "itr",
        "n_updates", "updates", "up",
    ),
    EPOCH: ("epoch", "epochs", "current_epoch", "train_epoch", "ep"),
    TOTAL: ("total_steps", "max_steps"),
    "loss": (
        "loss", "train_loss_step", "training_loss_step", "loss_step", "batch_loss",
        "train_batch_loss", "train_loss", "training_loss", "loss_train", "trainer_loss",
        "train_loss_epoch", "loss_epoch", "epoch_loss", "total_loss", "train_total_loss",
        "loss_total", "loss_total_loss", "avg_loss", "mean_loss", "train_avg_loss",
        "avg_train_loss", "train_mean_loss", "mean_train_loss", "tr_loss", "average_loss",
        "running_loss", "lm_loss", "losses", "train_losses", "training_losses", "nll_loss",
        "train_nll_loss", "mse_loss", "train_mse_loss", "ce_loss", "train_ce_loss", "bce_loss",
        "train_bce_loss", "l_pix", "t_loss", "rmse_trn",
    ),
    "train_loss": (
        "train_loss", "training_loss", "loss_train", "train_loss_epoch", "loss_epoch",
        "train_total_loss", "train_avg_loss", "avg_train_loss", "train_mean_loss",
        "mean_train_loss", "tr_loss",
    ),
    "val_loss": (
        "val_loss", "eval_loss", "valid_loss", "validation_loss", "vali_loss", "dev_loss",
        "loss_val", "loss_valid", "loss_eval", "loss_validation", "evaluation_loss",
        "val_loss_epoch", "valid_loss_epoch", "val_total_loss", "eval_total_loss", "val_avg_loss",
        "avg_val_loss", "val_mean_loss", "mean_val_loss", "val_average_loss", "val_lm_loss",
        "val_running_loss", "val_losses", "valid_losses", "validation_losses", "eval_losses",
        "val_nll_loss", "valid_nll_loss", "val_mse_loss", "val_ce_loss", "val_bce_loss",
        "eval_*_loss", "test_loss", "loss_test", "test_avg_loss", "avg_test_loss", "test_losses",
        "rmse_val",
    ),
    "lr": (
        "lr", "learning_rate", "train_lr", "train_learning_rate", "optimizer_lr",
        "epoch_learning_rate", "epoch_lr", "lr_*", "lr0", "x_lr0", "l_r",
    ),
    "grad_norm": (
        "grad_norm", "gradient_norm", "train_grad_norm", "train_gradient_norm", "total_grad_norm",
        "global_grad_norm", "grad_norm_total", "grad_norm_step", "gnorm", "train_gnorm",
        "optim_total_grad_norm", "grad_2_0_norm_total", "norm",
    ),
}  # fmt: skip
"""Role (a signal, STEP, EPOCH or TOTAL) -> the normalized names of its columns, the best name
first. `*` stands for zero or more characters.

A name may be listed for two roles. The first role that has no column yet takes it: `train_loss` is
the batch loss in a log without a `loss`, and otherwise the loss of the full training split."""

_PLACES = {role: {name: place for place, name in enumerate(names)} for role, names in NAMES.items()}
_FIRST_ROLE = {name: role for role, names in reversed([*NAMES.items()]) for name in names}
_PATTERNS = {
    role: [(place, name) for place, name in enumerate(names) if "*" in name]
    for role, names in NAMES.items()
    if "*" in "".join(names)
}
"""Tables made from NAMES: the place of each name among those of its role, the first role of each
name, and the names with a `*`. A log may have thousands of columns, so a look-up must be fast."""
_NO_LETTERS = re.compile(r"[\W_]+")
"""Everything but letters and digits."""
POLICY_NAMES = (
    "reward", "rewards", "*_reward", "*_rewards", "rewards_*", "*reward_mean", "*rewards_mean",
    "*reward_std", "*ep_rew_mean", "*episode_return*", "*episodic_return*", "mean_return",
    "policy_loss", "*_policy_loss", "pg_loss", "*_pg_loss", "actor_loss", "*_actor_loss",
    "*policy_gradient_loss", "*approx_kl*", "clip_fraction", "*_clip_fraction", "*clipfrac*",
    "objective_kl",
)  # fmt: skip
"""Column names that occur only in logs of policy learning."""
POLICY_HINTS = (
    ("kl", "*_kl"),
    ("value_loss", "*_value_loss", "vf_loss", "*_vf_loss"),
    ("advantage*", "*_advantage*"),
    ("entropy_loss", "train_entropy_loss", "losses_entropy_loss"),
)
"""Column names that also occur in other logs, one row per quantity. A log counts as policy learning
if it has at least two of these quantities: distillation and autoencoders, for example, log only
`kl`."""
PREFERENCE_NAMES = (
    "*rewards_chosen", "*rewards_rejected", "*rewards_margins", "*rewards_accuracies",
    "margin", "train_margin", "eval_margin",
)  # fmt: skip
"""Names of preference learning (Rafailov et al. 2023) and of reward models (TRL logs a
`mean_reward` and a `margin`). Such runs log rewards, but minimise an ordinary loss."""
NEUTRAL_WORDS = frozenset({
    "avg", "avr", "ave", "average", "mean", "total", "tot", "overall", "running", "smooth",
    "smoothed", "ema", "current", "curr", "cur", "epoch", "batch", "minibatch", "step", "iter",
    "iteration", "main", "reduced",
})  # fmt: skip
"""Words that may stand in the name of a loss or of a rate and do not change what it is."""
TRAIN_WORDS = frozenset({"train", "training", "trainer", "trn", "tr"})
VAL_WORDS = frozenset({"val", "valid", "validation", "vali", "eval", "evaluation", "dev", "test"})
LOSS_WORDS = frozenset({"loss", "losses", "cost", "xent", "crossentropy", "nll", "logloss"})
KINDS_OF_LOSS = frozenset({"lm", "nll", "ce", "bce", "mse", "crossentropy", "log"})
"""Words in front of `loss` that say which function of the error it is."""
WORDS_BEFORE_LOSS = NEUTRAL_WORDS | TRAIN_WORDS | VAL_WORDS | KINDS_OF_LOSS
"""Words with which `loss` may be written as one word, as in `trainLoss`."""
RATE_WORDS = frozenset({"lr", "learningrate"})
OPTIMIZER_WORDS = frozenset({"optimizer", "optim", "opt"})
STEP_WORDS = frozenset({"step", "iteration", "iter", "itr", "update"})
COUNTER_PREFIXES = TRAIN_WORDS | {"global", "current", "cur", "curr"}
"""Words that may stand in front of `step` or `epoch` and do not change what it counts."""
NETWORKS = (
    frozenset({"d", "dis", "disc", "discriminator", "critic"}),
    frozenset({"g", "gen", "generator"}),
)
"""Words for the two networks of a GAN. A log with a loss for each of them is adversarial."""
PIPELINE_PARTS = (
    "ner", "tagger", "parser", "morphologizer", "senter", "lemmatizer", "trainable_lemmatizer",
    "spancat", "spancat_singlelabel", "span_finder", "entity_linker", "textcat",
    "textcat_multilabel", "coref",
)  # fmt: skip
"""Components of a spaCy pipeline whose losses are minimised together. The loss of `tok2vec` and of
`transformer` is the size of a gradient that they receive, so it is no part of the sum."""
YOLO_PARTS = ("box", "obj", "cls", "dfl", "seg", "pose", "kobj", "angle")
"""Parts of YOLO's loss. YOLO logs each part multiplied by its weight and minimises their sum."""
SSD_PARTS = ("loss_l", "loss_c")
"""Parts of the loss of an SSD detector, for location and class. The loss is their sum (Liu et al.
2016; the names are those of ssd.pytorch)."""
RUN_SEPARATOR = " - "
"""Separates the name of a run from the name of a column."""
CACHED_NAMES = 131_072
"""Number of column names for which the results of a function are cached. Few lines of a log hold
more names. In a loop over more names than the cache holds, it would save nothing."""


@lru_cache(maxsize=CACHED_NAMES)
def normalized(column: str) -> str:
    """A column's name in the spelling of NAMES.

    `train/loss`, ` Train Loss ` and `train.loss` become `train_loss`. The name of a run before the
    name of the column is dropped: Weights & Biases exports `bright-fog-1 - train/loss`.
    """
    name = column.rpartition(RUN_SEPARATOR)[2]
    return "_".join(filter(None, _NO_LETTERS.split(name.lower())))


@lru_cache(maxsize=CACHED_NAMES)
def role(column: str) -> str | None:
    """The first role in NAMES that lists the column's name; None if no role does."""
    name = normalized(column)
    roles = {_role_by_words(name), _FIRST_ROLE.get(name)}
    roles |= {role for role in _PATTERNS for _, each in _PATTERNS[role] if matches(name, each)}
    return next(filter(roles.__contains__, NAMES), None) if roles != {None} else None


def rank(column: str, role: str) -> int | None:
    """The position of the column's name among the names of a role, 0 for the best name.

    A name that is not among them, but consists of the role and of words that do not change it, such
    as `smoothed training loss`, comes after all names of the table: the fewer words, the better.
    None for any other name.
    """
    name = normalized(column)
    places = [place for place, pattern in _PATTERNS.get(role, ()) if matches(name, pattern)]
    if name in _PLACES[role]:
        places.append(_PLACES[role][name])
    if not places and _role_by_words(name) == role:
        return len(NAMES[role]) + name.count("_")
    return min(places, default=None)


@lru_cache(maxsize=CACHED_NAMES)
def _role_by_words(name: str) -> str | None:
    """The role of a normalized name by its words, for names that NAMES does not list."""
    name = name.replace("cross_entropy", "crossentropy").replace("learning_rate", "learningrate")
    words = frozenset(name.split("_"))
    for word in words:
        if (prefix := word.removesuffix("loss")) in WORDS_BEFORE_LOSS and prefix != word:
            words = words - {word} | {prefix, "loss"}
    if words & LOSS_WORDS:
        # `batch_cost` is a time in seconds in the logs of Paddle.
        is_time = "cost" in words and words & {"batch", "minibatch", "step", "iter", "iteration"}
        others = words - LOSS_WORDS - NEUTRAL_WORDS - KINDS_OF_LOSS
        # Lightning's `val_loss_step` is the loss of one batch of an evaluation.
        is_batch = words & VAL_WORDS and words & {"batch", "minibatch", "step", "iter", "iteration"}
        if is_time or is_batch or not others <= TRAIN_WORDS | VAL_WORDS:
            return None
        return "val_loss" if others & VAL_WORDS else "loss"
    if words & RATE_WORDS:
        others = words - RATE_WORDS - NEUTRAL_WORDS - TRAIN_WORDS - OPTIMIZER_WORDS
        return None if others else "lr"
    if words - COUNTER_PREFIXES <= STEP_WORDS and len(words & STEP_WORDS) == 1:
        return STEP
    return EPOCH if words - COUNTER_PREFIXES == {"epoch"} else None


def matches(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern, in which `*` stands for zero or more characters.

    `fnmatch` is not used: it compiles a regular expression for each pattern, which takes longer
    than reading a small log.
    """
    if "*" not in pattern:
        return name == pattern
    start, middle, end = _parts(pattern)
    if not (name.startswith(start) and name.endswith(end) and len(name) >= len(start) + len(end)):
        return False
    rest = name[len(start) : len(name) - len(end)]
    for part in middle:
        place = rest.find(part)
        if place < 0:
            return False
        rest = rest[place + len(part) :]
    return True


@lru_cache
def _parts(pattern: str) -> tuple[str, list[str], str]:
    """The texts before, between and after the `*` of a pattern."""
    start, *middle, end = pattern.split("*")
    return start, middle, end


def loss_parts(columns: Iterable[str], split: str) -> list[str]:
    """The columns with the parts of a loss that is logged in parts.

    split  "train" or "val"

    The parts of YOLO's loss, such as `train/box_loss` and `train/cls_loss`, if the split has at
    least two of them and no other partial loss; or the losses of a spaCy pipeline; or the two
    parts of SSD's loss; or the losses of a GAN. The sum of a GAN's losses is of use only to tell
    whether all of them are finite. The result is empty for any other log.
    """
    columns = list(columns)
    found = [column for column in columns if matches(normalized(column), f"{split}_*_loss")]
    known = {f"{split}_{part}_loss" for part in YOLO_PARTS}
    if len(found) > 1 and known.issuperset(map(normalized, found)):
        return found
    if split != "train":
        return []
    pipeline = {f"loss_{part}" for part in PIPELINE_PARTS}
    found = [column for column in columns if normalized(column) in pipeline]
    detector = [column for column in columns if normalized(column) in SSD_PARTS]
    if not found and len(set(map(normalized, detector))) == len(SSD_PARTS):
        found = detector
    return found or adversarial_losses(columns)


def partial_losses(columns: Iterable[str]) -> list[str]:
    """The columns named like a part of a loss, such as `loss_kl` or `cls_loss`."""
    names = ((column, normalized(column)) for column in columns)
    return [name for name, own in names if own.startswith("loss_") or own.endswith("_loss")]


def adversarial_losses(columns: Iterable[str]) -> list[str]:
    """The partial losses of a log with a loss for each of the two networks of a GAN, else [].

    Their names have the word `loss`, or begin with the network, as in `G_GAN` and `l_d_real`.
    """
    columns = list(columns)
    begins = tuple(f"{word}_" for network in NETWORKS for word in network)
    named = [c for c in columns if normalized(c).removeprefix("l_").startswith(begins)]
    parts = list(dict.fromkeys(partial_losses(columns) + named))
    words = [set(normalized(column).split("_")) for column in parts]
    is_adversarial = all(any(own & network for own in words) for network in NETWORKS)
    return parts if is_adversarial else []


def objective(columns: Iterable[str]) -> str | None:
    """The objective of the run, as far as its columns show it.

    REINFORCEMENT if a policy was trained, ADVERSARIAL if only the losses of the networks of a GAN
    were logged. In both cases rules about a loss do not apply. Else None.
    """
    columns = list(columns)
    names = [normalized(column) for column in columns]
    hints = sum(_any_matches(names, patterns) for patterns in POLICY_HINTS)
    policy = _any_matches(names, POLICY_NAMES) or hints >= 2
    if policy and not _any_matches(names, PREFERENCE_NAMES):
        return REINFORCEMENT
    has_loss = any(role(column) in LOSSES for column in columns)
    return ADVERSARIAL if not has_loss and adversarial_losses(columns) else None


def _any_matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(matches(name, pattern) for name in names for pattern in patterns)
