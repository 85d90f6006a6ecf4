"""Which column of a log is which signal: one table of the names that people write."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

from probes.record.record import REINFORCEMENT

STEP, EPOCH, TOTAL = "step", "epoch", "total_steps"
LOSSES = frozenset({"loss", "train_loss", "val_loss"})

NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (STEP, ("step", "global_step", "current_steps", "current_step", "trainer_global_step", "train_global_step",
            "steps", "train_step", "iteration", "iter", "iters", "num_updates", "train_num_updates",
            "valid_num_updates", "update", "batch_step")),
    (EPOCH, ("epoch", "epochs", "current_epoch", "train_epoch")),
    (TOTAL, ("total_steps", "max_steps")),
    ("loss", ("loss", "train_loss_step", "training_loss_step", "loss_step", "batch_loss", "train_batch_loss",
              "train_loss", "training_loss", "loss_train", "trainer_loss", "train_loss_epoch", "loss_epoch",
              "epoch_loss", "total_loss", "train_total_loss", "loss_total", "loss_total_loss", "avg_loss", "mean_loss",
              "train_avg_loss", "avg_train_loss", "train_mean_loss", "mean_train_loss", "tr_loss", "average_loss",
              "running_loss", "lm_loss", "losses", "train_losses", "training_losses", "nll_loss", "train_nll_loss",
              "mse_loss", "train_mse_loss", "ce_loss", "train_ce_loss", "bce_loss", "train_bce_loss")),
    ("train_loss", ("train_loss", "training_loss", "loss_train", "train_loss_epoch", "loss_epoch", "train_total_loss",
                    "train_avg_loss", "avg_train_loss", "train_mean_loss", "mean_train_loss", "tr_loss")),
    ("val_loss", ("val_loss", "eval_loss", "valid_loss", "validation_loss", "vali_loss", "dev_loss", "loss_val",
                  "loss_valid", "loss_eval", "loss_validation", "evaluation_loss", "val_loss_epoch", "valid_loss_epoch",
                  "val_total_loss", "eval_total_loss", "val_avg_loss", "avg_val_loss", "val_mean_loss",
                  "mean_val_loss", "val_average_loss", "val_lm_loss", "val_running_loss", "val_losses", "valid_losses",
                  "validation_losses", "eval_losses", "val_nll_loss", "valid_nll_loss", "val_mse_loss",
                  "val_ce_loss", "val_bce_loss", "eval_*_loss", "test_loss", "loss_test", "test_avg_loss",
                  "avg_test_loss", "test_losses")),
    ("lr", ("lr", "learning_rate", "train_lr", "train_learning_rate", "optimizer_lr", "epoch_learning_rate",
            "epoch_lr", "lr_*", "lr0", "x_lr0")),
    ("grad_norm", ("grad_norm", "gradient_norm", "train_grad_norm", "train_gradient_norm", "total_grad_norm",
                   "global_grad_norm", "grad_norm_total", "grad_norm_step", "gnorm", "train_gnorm",
                   "optim_total_grad_norm", "grad_2_0_norm_total", "norm")),
)  # fmt: skip
"""Signal (or step, epoch, planned total) -> names, as `plain` writes them; `*` stands for anything.

A column goes to the first row that has use for it: of several names in one row the earlier wins,
and a signal takes one column. So train_loss is the batch's loss of a log that has no other, and
beside a `loss` it is the full split's. """
POLICY = ("reward", "rewards", "*_reward", "*_rewards", "rewards_*", "*reward_mean", "*rewards_mean", "*reward_std",
          "*ep_rew_mean", "*episode_return*", "*episodic_return*", "mean_return", "policy_loss", "*_policy_loss",
          "pg_loss", "*_pg_loss", "actor_loss", "*_actor_loss", "*policy_gradient_loss", "*approx_kl*",
          "clip_fraction", "*_clip_fraction", "*clipfrac*", "objective_kl")  # fmt: skip
"""Names, as `plain` writes them, that the log of a policy has and no other."""
POLICY_TOO = (("kl", "*_kl"), ("value_loss", "*_value_loss", "vf_loss", "*_vf_loss"), ("advantage*", "*_advantage*"),
              ("entropy_loss", "train_entropy_loss", "losses_entropy_loss"))  # fmt: skip
"""Names that it has as well, each in its spellings; two of them tell. One alone does not:
distillation logs a `kl`, and so do autoencoders."""
PREFERENCE = ("*rewards_chosen", "*rewards_rejected", "*rewards_margins", "*rewards_accuracies",
              "margin", "train_margin", "eval_margin")  # fmt: skip
"""Names of preference learning (Rafailov et al. 2023) and of the training of a reward model (TRL's
logs its mean_reward beside the margin), whose loss is an ordinary one though rewards are logged."""
PARTS = ("box", "obj", "cls", "dfl", "seg", "pose", "kobj", "angle")
"""What YOLO's losses are of: its log holds each part with its weight, and their sum is what it
minimises."""
OF_RUN = " - "
"""Between a run's name and a column's."""
REMEMBERED = 10_000
"""Names whose place in the table is kept in mind."""


@lru_cache(maxsize=REMEMBERED)
def plain(name: str) -> str:
    """A column's name as the table writes it: `train/loss`, ` Train Loss ` and `train.loss` are
    `train_loss`.

    Weights & Biases exports a table with the run before the name, `bright-fog-1 - train/loss`.
    """
    name = name.rpartition(OF_RUN)[2]
    letters = (letter if letter.isalnum() else "_" for letter in name.strip().lower())
    return "_".join(part for part in "".join(letters).split("_") if part)


@lru_cache(maxsize=REMEMBERED)
def role(name: str) -> str | None:
    """The first row of the table that knows a name; None when none does."""
    return next((row for row, patterns in NAMES if rank(name, patterns) is not None), None)


def rank(name: str, patterns: tuple[str, ...]) -> int | None:
    """Which of the patterns is the first that a name fits; None when none does."""
    return next(
        (rank for rank, pattern in enumerate(patterns) if fnmatchcase(plain(name), pattern)), None
    )


def parts(names: Iterable[str], split: str) -> list[str]:
    """The columns that hold the parts of a split's loss, as YOLO's `train/box_loss` and
    `train/cls_loss`.

    [] of one, and where any is no such part: the losses of a GAN's two networks have no meaningful
    sum."""
    found = [name for name in names if fnmatchcase(plain(name), f"{split}_*_loss")]
    known = {f"{split}_{part}_loss" for part in PARTS}
    return found if len(found) > 1 and known.issuperset(map(plain, found)) else []


def objective(names: Iterable[str]) -> str | None:
    """What a log is one of, by the names of its columns, where rules for a loss mean nothing; None
    where they do."""
    there = [plain(name) for name in names]
    policy = _any_of(there, POLICY) or sum(_any_of(there, patterns) for patterns in POLICY_TOO) >= 2
    return REINFORCEMENT if policy and not _any_of(there, PREFERENCE) else None


def _any_of(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
