"""The table of names: spellings, patterns, policy learning, and its copy in the docs."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import read
from probes.readers.column_names import (
    EPOCH,
    NAMES,
    STEP,
    TOTAL,
    matches,
    normalized,
    objective,
    rank,
    role,
)
from probes.record import REINFORCEMENT
from probes.record.signals import BY_NAME
from testing.logs import csv_of, points, written


@pytest.mark.parametrize(
    ("column", "signal"),
    [
        ("loss", "loss"),
        ("Loss", "loss"),
        (" loss ", "loss"),
        ("train_loss", "loss"),
        ("train/loss", "loss"),
        ("Train Loss", "loss"),
        ("train_loss_step", "loss"),
        ("training-loss", "loss"),
        ("eval_loss", "val_loss"),
        ("val_loss", "val_loss"),
        ("val/loss", "val_loss"),
        ("validation/loss", "val_loss"),
        ("valid_loss", "val_loss"),
        ("eval_wikitext_loss", "val_loss"),
        ("test_loss", "val_loss"),
        ("avg_val_loss", "val_loss"),
        ("total_loss", "loss"),
        ("train_avg_loss", "loss"),
        ("bright-fog-1 - train/loss", "loss"),
        ("learning_rate", "lr"),
        ("lr", "lr"),
        ("lr-Adam", "lr"),
        ("lr-AdamW/pg1", "lr"),
        ("train/learning_rate", "lr"),
        ("grad_norm", "grad_norm"),
        ("gradient_norm", "grad_norm"),
        ("train/grad_norm", "grad_norm"),
        ("grad_2.0_norm_total", "grad_norm"),
    ],
)
def test_a_column_is_known_in_its_usual_spellings(tmp_path: Path, column: str, signal: str) -> None:
    record = read(written(tmp_path, csv_of(step=[3], **{column: [0.5]})))
    assert points(record, signal) == {3: 0.5}


def test_unknown_names_have_no_role() -> None:
    assert (role("energy"), role("train/loss"), role("_step")) == (None, "loss", STEP)


def test_the_table_names_only_signals_with_one_value_per_step() -> None:
    """A column holds one value per step."""
    signals = [signal for signal in NAMES if signal not in (STEP, EPOCH, TOTAL)]
    assert {BY_NAME[signal].scope for signal in signals} == {"run"}


def test_the_names_in_the_table_are_normalized() -> None:
    """A name in another spelling would match no column."""
    names = [name.replace("*", "x") for names in NAMES.values() for name in names]
    assert [name for name in names if normalized(name) != name] == []


def test_the_docs_list_the_names_of_the_table() -> None:
    page = (Path(__file__).parents[1] / "docs" / "logs.md").read_text(encoding="utf-8")
    block = page.partition("<!-- names -->")[2].partition("<!-- end of names -->")[0]
    assert block.splitlines()[3:] == [
        f"| `{role}` | {', '.join(f'`{name}`' for name in names)} |"
        for role, names in NAMES.items()
    ]


BY_WORDS = {
    "loss": ["smoothed train loss", "main/loss", "avr_loss", "Train Cost", "trainLoss", "xent",
             "train/CrossEntropyLoss", "train-logloss", "reduced_train_loss", "loss/current",
             "Tot Loss"],
    "val_loss": ["validation/main/loss", "Valid Cost", "validation xent", "dev_mean_loss",
                 "testLoss", "val/average loss", "Validation-cross-entropy"],
    "lr": ["Current learning rate", "optimizer/lr", "learning_rate/current"],
    "step": ["training step", "current_iteration", "global iter"],
    "epoch": ["training epoch", "Current Epoch"],
    None: ["best_loss", "cls_loss", "D loss", "loss_scale", "batch_cost", "avg_batch_cost",
           "val_loss_step", "loss weight", "base_lr", "min_lr", "entropy", "time per step",
           "val_batch_loss", "steps per epoch", "epochs left"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"), [(name, its_role) for its_role in BY_WORDS for name in BY_WORDS[its_role]]
)
def test_a_name_is_known_by_its_words(name: str, expected: str | None) -> None:
    """If it is not in the table, and each of its words is known."""
    assert role(name) == expected


def test_names_of_the_table_come_first() -> None:
    """Then those with the fewest words."""
    ranks = [rank(name, "loss") or 0 for name in ("loss", "l_pix", "avr_loss", "avr_train_loss")]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 4


@given(st.text("ab_", max_size=8), st.text("ab_*", max_size=6))
def test_patterns_match_as_in_fnmatch(name: str, pattern: str) -> None:
    assert matches(name, pattern) == fnmatchcase(name, pattern)


@pytest.mark.parametrize(
    "columns",
    [
        ("reward", "completion_length"),
        ("rewards/format", "rewards/correct"),
        ("Mean Reward",),
        ("rollout/ep_rew_mean", "rollout/ep_len_mean"),
        ("charts/episodic_return",),
        ("env_runners/episode_return_mean",),
        ("critic/rewards/mean", "actor/entropy"),
        ("train/policy_loss",),
        ("losses/approx_kl",),
        ("objective/kl",),
        ("kl", "value_loss"),
        ("train/value_loss", "train/entropy_loss"),
        ("advantages", "policy/kl"),
    ],
    ids=", ".join,
)
def test_columns_of_policy_learning_are_recognised(columns: tuple[str, ...]) -> None:
    """One name that only policies have is enough, or two that other objectives have one of."""
    assert objective(["step", "loss", *columns]) == REINFORCEMENT


@pytest.mark.parametrize(
    "columns",
    [
        ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "kl"),
        ("eval_rewards/chosen", "reward"),
        ("min_reward", "mean_reward", "max_reward", "accuracy", "margin"),
        ("kl_loss", "recon_loss"),
        ("kl", "reconstruction_loss"),
        ("kl", "cross_entropy_loss"),
        ("kld", "entropy_loss"),
        ("value_loss",),
        ("accuracy", "learning_rate", "grad_norm", "eval_loss"),
        (),
    ],
    ids=lambda columns: ", ".join(columns) or "none",
)
def test_columns_of_other_objectives_are_not_taken_for_policy_learning(
    columns: tuple[str, ...],
) -> None:
    """Preference learning, reward models, autoencoders, distillation and plain classification."""
    assert objective(["step", "loss", *columns]) is None
