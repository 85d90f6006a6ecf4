"""The table of the column names that trainers use for each signal, and functions to search it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from probes.record import REINFORCEMENT

STEP, EPOCH, TOTAL = "step", "epoch", "total_steps"
"""Roles of columns that are not signals: they count steps, count epochs, or state how many steps
are planned."""
LOSSES = frozenset({"loss", "train_loss", "val_loss"})

NAMES: Mapping[str, tuple[str, ...]] = {
    STEP: (
        "step", "global_step", "current_steps", "current_step", "trainer_global_step",
        "train_global_step", "steps", "train_step", "iteration", "iter", "iters", "num_updates",
        "train_num_updates", "valid_num_updates", "update", "batch_step",
    ),
    EPOCH: ("epoch", "epochs", "current_epoch", "train_epoch"),
    TOTAL: ("total_steps", "max_steps"),
    "loss": (
        "loss", "train_loss_step", "training_loss_step", "loss_step", "batch_loss",
        "train_batch_loss", "train_loss", "training_loss", "loss_train", "trainer_loss",
        "train_loss_epoch", "loss_epoch", "epoch_loss", "total_loss", "train_total_loss",
        "loss_total", "loss_total_loss", "avg_loss", "mean_loss", "train_avg_loss",
        "avg_train_loss", "train_mean_loss", "mean_train_loss", "tr_loss", "average_loss",
        "running_loss", "lm_loss", "losses", "train_losses", "training_losses", "nll_loss",
        "train_nll_loss", "mse_loss", "train_mse_loss", "ce_loss", "train_ce_loss", "bce_loss",
        "train_bce_loss",
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
    ),
    "lr": (
        "lr", "learning_rate", "train_lr", "train_learning_rate", "optimizer_lr",
        "epoch_learning_rate", "epoch_lr", "lr_*", "lr0", "x_lr0",
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
YOLO_PARTS = ("box", "obj", "cls", "dfl", "seg", "pose", "kobj", "angle")
"""Parts of YOLO's loss. YOLO logs each part multiplied by its weight and minimises their sum."""
RUN_SEPARATOR = " - "
"""Separates the name of a run from the name of a column."""
CACHED_NAMES = 10_000
"""Number of column names for which the results of a function are cached."""


@lru_cache(maxsize=CACHED_NAMES)
def normalized(column: str) -> str:
    """A column's name in the spelling of NAMES.

    `train/loss`, ` Train Loss ` and `train.loss` become `train_loss`. The name of a run before the
    name of the column is dropped: Weights & Biases exports `bright-fog-1 - train/loss`.
    """
    name = column.rpartition(RUN_SEPARATOR)[2]
    letters = (letter if letter.isalnum() else "_" for letter in name.strip().lower())
    return "_".join(part for part in "".join(letters).split("_") if part)


@lru_cache(maxsize=CACHED_NAMES)
def role(column: str) -> str | None:
    """The first role in NAMES that lists the column's name; None if no role does."""
    return next((role for role in NAMES if rank(column, role) is not None), None)


def rank(column: str, role: str) -> int | None:
    """The position of the column's name among the names of a role, 0 for the best name.

    None if the name is not among them.
    """
    name = normalized(column)
    places = (place for place, pattern in enumerate(NAMES[role]) if matches(name, pattern))
    return next(places, None)


def matches(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern, in which `*` stands for zero or more characters.

    `fnmatch` is not used: it compiles a regular expression for each pattern, which takes longer
    than reading a small log.
    """
    if "*" not in pattern:
        return name == pattern
    start, *middle, end = pattern.split("*")
    if not (name.startswith(start) and name.endswith(end) and len(name) >= len(start) + len(end)):
        return False
    rest = name[len(start) : len(name) - len(end)]
    for part in middle:
        place = rest.find(part)
        if place < 0:
            return False
        rest = rest[place + len(part) :]
    return True


def loss_parts(columns: Iterable[str], split: str) -> list[str]:
    """The columns with the parts of YOLO's loss, such as `train/box_loss` and `train/cls_loss`.

    split  "train" or "val", the beginning of the normalized names

    Empty if there is only one such column, or if the split has any other partial loss. The losses
    of the two networks of a GAN, for example, have no meaningful sum.
    """
    found = [column for column in columns if matches(normalized(column), f"{split}_*_loss")]
    known = {f"{split}_{part}_loss" for part in YOLO_PARTS}
    return found if len(found) > 1 and known.issuperset(map(normalized, found)) else []


def objective(columns: Iterable[str]) -> str | None:
    """The objective of the run, as far as its columns show it.

    REINFORCEMENT if a policy was trained, so that rules about a loss do not apply; else None.
    """
    names = [normalized(column) for column in columns]
    hints = sum(_any_matches(names, patterns) for patterns in POLICY_HINTS)
    policy = _any_matches(names, POLICY_NAMES) or hints >= 2
    return REINFORCEMENT if policy and not _any_matches(names, PREFERENCE_NAMES) else None


def _any_matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(matches(name, pattern) for name in names for pattern in patterns)
