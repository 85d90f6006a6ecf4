"""Compares the data that a model receives at every step with its data set.

Hooks copy the tokens and the targets of each pass. After the step they are compared with the rows
of `batch_ids`. These rows are compared with the split, and with the order in which an epoch draws
its rows. The results are the shares of the signal `data_mismatch`. In a sound run the shares of the
order are small, and all others are 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from probes.recording.inspector import Inspector
from probes.recording.protocols import DataSet, Step

Ids = npt.NDArray[np.integer[Any]]

SIGNAL = "data_mismatch"
TOKENS, TARGETS, ROWS, HELD_OUT, REPEATED = "tokens", "targets", "rows", "held-out", "repeated"
SORTED, SAME_ORDER, EVALUATION, VALIDATED = "sorted", "same-order", "evaluation", "validated"
"""The sites of the signal; its row in `probes.record.signals` says what each is."""
MIN_ROWS_OF_ORDER = 64
"""The order of an epoch is measured only if it has at least this many rows. With 64 rows in random
order, the correlation has a standard deviation of 1/8."""


class DataAudit:
    """Measures the signal `data_mismatch` of a specimen that has the method `data_set`."""

    def __init__(self, data: DataSet, inspector: Inspector) -> None:
        self._data = data
        self._inputs = [np.asarray(row[:-1]) for row in data.rows]
        self._targets = [np.asarray(row[1:]) for row in data.rows]
        self._is_training, self._is_held_out, self._is_drawn = (
            np.zeros(len(data.rows), dtype=bool) for _ in range(3)
        )
        self._is_training[data.train] = True
        self._is_held_out[data.val] = True
        self._is_training &= ~self._is_held_out
        self._epoch: list[Ids] = []  # batches of this epoch and of the last one
        self._last_epoch: list[Ids] = []
        self._fed: dict[str, list[Ids]] = {}
        self._last_evaluation: tuple[list[Ids], Mapping[str, float]] | None = None
        self.hooked = tuple(
            module for module, _ in data.fed.values() if hasattr(module, "forward_hooks")
        )
        for name, (module, position) in data.fed.items():
            if module in self.hooked:
                for during in ("training", "evaluation"):
                    key = name if during == "training" else f"{EVALUATION} {name}"
                    inspector.register_forward(
                        name, module, partial(self._keep, key, position), during=during
                    )

    def _keep(self, key: str, position: int, _module: Any, args: Any, kwargs: Any, _: Any) -> None:
        given = (*args, *kwargs.values())
        if position < len(given):
            self._fed.setdefault(key, []).append(np.array(given[position]).ravel())

    def clear(self) -> None:
        """Drop what the hooks have copied since the last step."""
        self._fed.clear()

    def readings(self, step: Step) -> dict[str, dict[str, float]]:
        """The shares of this step."""
        ids = np.asarray(step.batch_ids)
        fed = {
            name: np.concatenate(self._fed[name]) for name in (TOKENS, TARGETS) if name in self._fed
        }
        shares: dict[str, float] = {}
        if all(0 <= i < len(self._inputs) for i in ids.tolist()):
            expected = {TOKENS: self._inputs, TARGETS: self._targets}
            for name, values in fed.items():
                shares[name] = mismatch(values, np.concatenate([expected[name][i] for i in ids]))
            shares[HELD_OUT] = self._held_out(ids, fed if any(shares.values()) else {})
            shares |= self._order(ids)
        shares[ROWS] = abs(len(ids) / self._data.batch_size - 1)
        shares |= self._evaluation()
        self.clear()
        return {SIGNAL: shares} if shares else {}

    def _held_out(self, ids: Ids, fed: Mapping[str, Ids]) -> float:
        """The share of the batch's rows that are not in the training split. If the model received
        other tokens than those of its ids, its rows are identified by their tokens."""
        by_ids = float(np.mean(~self._is_training[ids]))
        if len(fed) < 2 or len(fed[TOKENS]) != len(fed[TARGETS]):
            return by_ids
        rows = rows_of(fed[TOKENS], fed[TARGETS])
        held_out = {self._data.rows[i].tobytes() for i in self._data.val}
        return max(by_ids, sum(row in held_out for row in rows) / len(rows))

    def _order(self, ids: Ids) -> dict[str, float]:
        """The share of rows that were drawn before in the same epoch. At the end of an epoch also
        the shares that show whether its order is new and random."""
        new = ids[~self._is_drawn[ids]]
        shares = {REPEATED: 1 - len(set(new.tolist())) / max(1, len(ids))}
        self._is_drawn[ids] = True
        self._epoch.append(ids.copy())
        if len(self._epoch) >= len(self._data.train) // self._data.batch_size:
            shares |= self._order_of_epoch()
            self._last_epoch, self._epoch = self._epoch, []
            self._is_drawn[:] = False
        return shares

    def _order_of_epoch(self) -> dict[str, float]:
        ids = np.concatenate(self._epoch)
        batch = np.repeat(np.arange(len(self._epoch)), [len(part) for part in self._epoch])
        if len(ids) < MIN_ROWS_OF_ORDER or len(self._epoch) < 2:
            return {}
        lengths = np.array([len(self._inputs[i]) for i in ids])
        shares = {SORTED: max(abs(correlation(batch, ids)), abs(correlation(batch, lengths)))}
        if len(self._last_epoch) == len(self._epoch):
            same = [
                np.isin(now, then).mean()
                for now, then in zip(self._epoch, self._last_epoch, strict=True)
            ]
            shares[SAME_ORDER] = float(np.mean(same))
        return shares

    def _evaluation(self) -> Mapping[str, float]:
        """The number of wrong rows in an evaluation, per row of the validation split, and the
        number of training rows that are evaluated twice, per missing validation row; {} if the
        step has no evaluation. Each validation row should be evaluated once, and each training row
        once or not at all."""
        fed = [self._fed.get(f"{EVALUATION} {name}", []) for name in (TOKENS, TARGETS)]
        if not all(fed):
            return {}
        tokens, targets = whole = [np.concatenate(parts) for parts in fed]
        last = self._last_evaluation
        if last is None or not all(map(np.array_equal, whole, last[0])):
            self._last_evaluation = last = (whole, self._difference(tokens, targets))
        return last[1]

    def _difference(self, tokens: Ids, targets: Ids) -> Mapping[str, float]:
        if len(tokens) != len(targets):
            return {EVALUATION: 1.0}
        rows, counts = self._data.rows, Counter(rows_of(tokens, targets))
        val, train = (
            [counts.pop(rows[i].tobytes(), 0) for i in part]
            for part in (self._data.val, self._data.train)
        )
        wrong = sum(abs(count - 1) for count in val) + counts.total()
        wrong += min(sum(train), sum(abs(count - 1) for count in train))
        missing, twice = val.count(0), sum(max(0, count - 1) for count in train)
        return {
            EVALUATION: wrong / max(1, len(val)),
            VALIDATED: twice / missing if missing else 0.0,
        }


def mismatch(fed: Ids, expected: Ids) -> float:
    """The share of places at which two sequences differ. Places that only one of them has count as
    different."""
    shorter, longer = sorted((len(fed), len(expected)))
    same = np.count_nonzero(fed[:shorter] == expected[:shorter])
    return 1 - same / longer if longer else 0.0


def rows_of(tokens: Ids, targets: Ids) -> Sequence[bytes]:
    """The rows of a packed batch, as bytes. Within a row each target is the next token; where it is
    not, a new row begins."""
    begins = np.flatnonzero(np.r_[True, targets[:-1] != tokens[1:]])
    ends = np.r_[begins[1:], len(tokens)]
    return [
        np.r_[tokens[begin:end], targets[end - 1]].tobytes()
        for begin, end in zip(begins, ends, strict=True)
    ]


def correlation(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """Pearson's correlation; 0 if one of the two is constant."""
    spread = float(np.std(x) * np.std(y))
    return float(np.mean((x - x.mean()) * (y - y.mean()))) / spread if spread else 0.0
