"""Which column of a log is which signal: one table of the names that people write."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache

from probes.findings import REINFORCEMENT
from probes.readers.blocks import Block, Piece
from probes.readers.rows import Row, is_empty, is_number, whole
from probes.record import RecordError
from probes.signals import known

STEP, EPOCH, TOTAL, POSITION = "step", "epoch", "total_steps", "position"
LOSSES = frozenset({"loss", "train_loss", "val_loss"})

NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (STEP, ("step", "global_step", "current_steps", "current_step", "trainer_global_step", "train_global_step",
            "steps", "train_step", "iteration", "iter", "iters", "update", "num_updates", "batch_step")),
    (EPOCH, ("epoch", "epochs", "current_epoch", "train_epoch")),
    (TOTAL, ("total_steps", "max_steps")),
    ("loss", ("loss", "train_loss_step", "training_loss_step", "loss_step", "batch_loss", "train_batch_loss",
              "train_loss", "training_loss", "loss_train", "trainer_loss", "train_loss_epoch", "loss_epoch",
              "epoch_loss")),
    ("train_loss", ("train_loss", "training_loss", "loss_train", "train_loss_epoch", "loss_epoch")),
    ("val_loss", ("val_loss", "eval_loss", "valid_loss", "validation_loss", "dev_loss", "loss_val", "loss_valid",
                  "loss_eval", "loss_validation", "evaluation_loss", "val_loss_epoch", "valid_loss_epoch",
                  "eval_*_loss")),
    ("lr", ("lr", "learning_rate", "train_lr", "train_learning_rate", "optimizer_lr", "epoch_learning_rate",
            "epoch_lr", "lr_*")),
    ("grad_norm", ("grad_norm", "gradient_norm", "train_grad_norm", "train_gradient_norm", "total_grad_norm",
                   "global_grad_norm", "grad_norm_total", "grad_norm_step", "gnorm", "grad_2_0_norm_total")),
)  # fmt: skip
"""Signal (or step, epoch, planned total) -> names, as `plain` writes them; `*` stands for anything.

A column goes to the first row that has use for it: of several names in one row the earlier wins, and a signal takes one
column. So train_loss is the batch's loss of a log that has no other, and beside a `loss` it is the full split's.
"""
POLICY = ("reward", "rewards", "*_reward", "*_rewards", "rewards_*", "*reward_mean", "*rewards_mean", "*reward_std",
          "*ep_rew_mean", "*episode_return*", "*episodic_return*", "mean_return", "policy_loss", "*_policy_loss",
          "pg_loss", "*_pg_loss", "actor_loss", "*_actor_loss", "*policy_gradient_loss", "*approx_kl*",
          "clip_fraction", "*_clip_fraction", "*clipfrac*", "objective_kl")  # fmt: skip
"""Names, as `plain` writes them, that the log of a policy has and no other."""
POLICY_TOO = (("kl", "*_kl"), ("value_loss", "*_value_loss", "vf_loss", "*_vf_loss"), ("advantage*", "*_advantage*"),
              ("entropy_loss", "train_entropy_loss", "losses_entropy_loss"))  # fmt: skip
"""Names that it has as well, each in its spellings; two of them tell. One alone does not: distillation logs a `kl`, and
so do autoencoders."""
PREFERENCE = ("*rewards_chosen", "*rewards_rejected", "*rewards_margins", "*rewards_accuracies",
              "margin", "train_margin", "eval_margin")  # fmt: skip
"""Names of preference learning (Rafailov et al. 2023) and of the training of a reward model (TRL's logs its mean_reward
beside the margin), whose loss is an ordinary one though rewards are logged."""
MOST_COLUMNS = 10_000
"""Different names in one log; those beyond are not listed, so that a log of ever new names does not fill the memory."""


@lru_cache(maxsize=MOST_COLUMNS)
def plain(name: str) -> str:
    """A column's name as the table writes it: `train/loss`, ` Train Loss ` and `train.loss` are `train_loss`."""
    letters = (letter if letter.isalnum() else "_" for letter in name.strip().lower())
    return "_".join(part for part in "".join(letters).split("_") if part)


@lru_cache(maxsize=MOST_COLUMNS)
def role(name: str) -> str | None:
    """The first row of the table that knows a name; None when none does."""
    return next((row for row, patterns in NAMES if _rank(name, patterns) is not None), None)


def _rank(name: str, patterns: tuple[str, ...]) -> int | None:
    return next((rank for rank, pattern in enumerate(patterns) if fnmatchcase(plain(name), pattern)), None)


def objective(names: Iterable[str]) -> str | None:
    """What a log is one of, by the names of its columns, where rules for a loss mean nothing; None where they do."""
    there = [plain(name) for name in names]
    policy = _any_of(there, POLICY) or sum(_any_of(there, patterns) for patterns in POLICY_TOO) >= 2
    return REINFORCEMENT if policy and not _any_of(there, PREFERENCE) else None


def _any_of(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


@dataclass
class Survey:
    """What one pass over a log tells of its columns, before any of them is read as a signal.

    filled         column -> in how many points something stands
    numeric        columns that hold a number where they hold something first
    points         rows that are points of the curves
    epoch_is_step  whether nothing else counts steps and epochs can: they are whole and none holds a loss twice
    """

    filled: dict[str, int] = field(default_factory=dict)
    numeric: set[str] = field(default_factory=set)
    points: int = 0
    epoch_is_step: bool = True
    _epoch: int | None = None
    _seen: set[str] = field(default_factory=set)

    def see(self, piece: Piece) -> None:
        """Take in some rows: by column once every column is known, and what there is to find out about them is."""
        if not isinstance(piece, Block):
            return
        counts = {name: len(cells) - cells.count(None) for name, cells in piece.columns.items()}
        if self.epoch_is_step or any(count and name not in self.filled for name, count in counts.items()):
            for row in piece.rows():
                self._see(row)
            return
        self.points += len(piece.numbers)
        for name, count in counts.items():
            if count:
                self.filled[name] += count

    def _see(self, row: Row) -> None:
        self.points += 1
        for column, cell in row.cells.items():
            if cell is None:
                continue
            if column not in self.filled:
                if len(self.filled) >= MOST_COLUMNS or is_empty(cell):
                    continue
                self.filled[column] = 0
                if is_number(cell):
                    self.numeric.add(column)
                    self.epoch_is_step &= role(column) != STEP
            self.filled[column] += 1
        if self.epoch_is_step:
            self.epoch_is_step = self._counts(row)

    def _counts(self, row: Row) -> bool:
        roles = {column: role(column) for column, cell in row.cells.items() if cell is not None}
        epochs = [column for column, what in roles.items() if what == EPOCH]
        if not epochs:
            return False
        try:
            epoch = whole(row.cells[epochs[0]])
        except ValueError:
            return False
        if epoch is None:
            return False
        if epoch != self._epoch:
            self._epoch, self._seen = epoch, set()
        losses = {column for column, what in roles.items() if what in LOSSES}
        again = losses & self._seen
        self._seen |= losses
        return not again


@dataclass(frozen=True)
class Plan:
    """How the columns of one log are read.

    axis       the column that counts steps; None: the row's position does
    axis_role  what is counted: step, epoch or position
    signals    column -> signal
    totals     columns that state how many steps were planned
    ignored    the other columns
    """

    axis: str | None
    axis_role: str
    signals: Mapping[str, str]
    totals: tuple[str, ...]
    ignored: tuple[str, ...]


def mapping_of(pairs: Iterable[str]) -> dict[str, str]:
    """Signal -> column, of pairs written SIGNAL=COLUMN.

    Raises RecordError for what is no such pair or comes twice, and for a signal that no column can be;
    UnknownSignalError, with the nearest names, for one that is not in the table.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        signal, equals, column = pair.partition("=")
        if not (signal and equals and column):
            raise RecordError(f"{pair!r:.60} is no SIGNAL=COLUMN, as val_loss=my_metric")
        if signal in mapping:
            raise RecordError(f"{signal} is given two columns, {mapping[signal]!r:.60} and {column!r:.60}")
        if _mappable(signal):
            mapping[signal] = column
    return mapping


def how_it_was_read(reader: object, columns: bool) -> list[str]:
    """What to tell of a log: what was done to its steps always, which column became which signal when asked for.

    `reader` is what stands in a record's provenance, which may be anything in a record that somebody else wrote.
    """
    if not isinstance(reader, Mapping):
        return []
    lines = []
    if columns:
        mapped, ignored = reader.get("mapped"), reader.get("ignored")
        lines = [f"format: {reader.get('format')}; steps: {reader.get('step')}"]
        lines += [f"{column} -> {signal}" for column, signal in (mapped if isinstance(mapped, Mapping) else {}).items()]
        lines += [f"ignored: {', '.join(map(str, ignored)) if ignored and isinstance(ignored, list) else 'nothing'}"]
    stitched = reader.get("stitched")
    return [*lines, *(f"note: {sentence}" for sentence in (stitched if isinstance(stitched, list) else []))]


def plan(survey: Survey, mapping: Mapping[str, str]) -> Plan:
    """Decide on every column, those of the caller's mapping (signal -> column) first.

    Raises UnknownSignalError for a signal that is not in the table, RecordError for one that has a value per layer or
    the like, and for a column that the log does not have.
    """
    taken = {_column(column, survey.filled): signal for signal, column in mapping.items() if _mappable(signal)}
    free = [column for column in survey.filled if column in survey.numeric and column not in taken]
    axis, counted = _axis({signal: column for column, signal in taken.items()}.get(STEP), free, survey)
    signals = {column: signal for column, signal in taken.items() if signal != STEP}
    for signal, patterns in NAMES:
        if signal in (STEP, EPOCH, TOTAL) or signal in signals.values():
            continue
        ranked = [(rank, column) for column in free if (rank := _rank(column, patterns)) is not None]
        left = [pair for pair in ranked if pair[1] not in signals]
        if left:
            signals[min(left, key=lambda pair: pair[0])[1]] = signal
    totals = tuple(column for column in free if role(column) == TOTAL) if counted == STEP else ()
    ignored = tuple(c for c in survey.filled if c not in signals and c != axis and c not in totals)
    return Plan(axis, counted, signals, totals, ignored)


def _axis(given: str | None, free: list[str], survey: Survey) -> tuple[str | None, str]:
    """The column that counts steps: the fullest of that name, or epochs that can."""
    if given is not None:
        return given, STEP
    patterns = dict(NAMES)
    counters = [(-survey.filled[c], rank, c) for c in free if (rank := _rank(c, patterns[STEP])) is not None]
    if counters:
        return min(counters)[2], STEP
    epochs = [column for column in free if role(column) == EPOCH]
    return (epochs[0], EPOCH) if epochs and survey.epoch_is_step else (None, POSITION)


def _mappable(signal: str) -> bool:
    if signal != STEP and known(signal).scope != "run":
        raise RecordError(
            f"signal {signal!r} has one value per {known(signal).scope}; a column can only be a signal of the whole run"
        )
    return True


def _column(column: str, columns: Iterable[str]) -> str:
    """The column of that name. Raises RecordError with the nearest ones when the log has none."""
    names = list(columns)
    if column in names:
        return column
    near = difflib.get_close_matches(column, names, n=2, cutoff=0.5) or names[:20]
    raise RecordError(f"the log has no column {column!r:.60}; it has {', '.join(near) or 'none at all'}: check --map")
