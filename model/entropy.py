"""The entropy ladder: the lowest loss that is possible with more and more context, in nats per
predicted token. It is exact, and on any split

    ln V >= unigram >= bigram >= floor

There is no start symbol: the first character of a sequence is given, and every later one, also the
final stop, is a predicted token. The training loss is a mean over the same tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]

ORDERS = range(1, 8)
ALPHAS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Candidates for the number that is added to every count, in steps of half a decade; 1 is Laplace's
rule."""


class Rungs(TypedDict):
    """The ladder of one split: mean losses in nats per predicted token, and the number of these
    tokens."""

    uniform: float
    unigram: float
    bigram: float
    floor: float
    ngram: float
    """The best add-alpha n-gram (`Ladder.ngram_n`), fitted on the training split."""
    class_baseline: float | None
    """The same n-gram on the tokens that the masks select; None without masks."""
    tokens: int


class Scores(TypedDict):
    """One order of n-gram, fitted on the training split."""

    alpha: float
    train: float
    val: float


class Ladder(TypedDict):
    """The rungs of both splits; every n-gram by its order, as a string; and the order with the
    lowest validation loss."""

    train: Rungs
    val: Rungs
    ngrams: dict[str, Scores]
    ngram_n: int


def conditional_entropy(sequences: Iterable[Ids], context: int | None = None) -> float:
    """The lowest mean loss that any function of the last `context` characters can have on these
    sequences, in nats per predicted token.

    With 0 characters it is the unigram entropy, with 1 the bigram entropy, and with the whole
    prefix (None) the floor. Near the start of a sequence, where there are fewer characters, the
    context is all of them.

    Proof. Of N predicted tokens, let c(h, x) be token x after context h; let n(h) = sum_x c(h, x)
    and p(x|h) = c(h, x) / n(h). Any function q of the context gives the same distribution q(.|h) to
    all n(h) tokens after h, so its mean loss is

        1/N sum_h sum_x c(h, x) (-ln q(x|h))  =  1/N sum_h n(h) [ H(p(.|h)) + KL(p(.|h) || q(.|h)) ]

    By Gibbs' inequality every KL >= 0, and = 0 exactly when q(.|h) = p(.|h). Hence the loss is at
    least 1/N sum_h n(h) H(p(.|h)), which is returned, and q = p attains it. With the whole prefix
    as context this holds for every causal model, even for one that was trained on these tokens: a
    model with a lower loss has seen what it predicts.

    Raises ValueError when nothing is predicted (no sequence of two characters or more).
    """
    windows = Counter(_windows(sequences, math.inf if context is None else context + 1))
    if not windows:
        raise ValueError(
            "entropy: no token is predicted; it takes a sequence of two characters or more"
        )
    before = _contexts(windows)
    return (
        math.fsum(count * math.log(before[w[:-1]] / count) for w, count in windows.items())
        / windows.total()
    )


class NGram:
    """Counts of `train`, smoothed: p(x|h) = (c(h, x) + alpha) / (n(h) + alpha V), h being the last
    n - 1 characters.

    n includes the predicted token. Within the first n - 1 characters, h is the whole prefix. It is
    shorter than any later context and counted separately: "to" at the start and "to" in the middle
    are different contexts. There is no back-off; after a context that `train` does not have, p is
    1/V. Source: add-alpha (Lidstone) smoothing."""

    def __init__(self, train: Iterable[Ids], n: int, alpha: float, vocab_size: int) -> None:
        self.n = n
        self.alpha = alpha
        self.vocab_size = vocab_size
        self._windows = Counter(_windows(train, n))
        self._contexts = _contexts(self._windows)

    @classmethod
    def fit(
        cls, train: Sequence[Ids], n: int, vocab_size: int, groups: Sequence[Hashable] | None = None
    ) -> NGram:
        """The n-gram of `train` with the alpha of ALPHAS that predicts each group best from all
        other groups.

        If a group were predicted from itself, the smallest alpha would always be best. `groups` has
        a label for each sequence; sequences that a split keeps together should have the same label.
        Without it every sequence is a group.

        Raises ValueError when there are fewer than two groups, or not one label for each sequence.
        """
        labels = range(len(train)) if groups is None else groups
        if len(labels) != len(train) or len(set(labels)) < 2:
            raise ValueError(
                f"n-gram: {len(labels)} labels in {len(set(labels))} groups "
                f"for {len(train)} sequences; alpha is chosen between groups: "
                "give one label for each sequence, and two groups or more"
            )
        return cls(train, n, _best_alpha(train, n, vocab_size, labels), vocab_size)

    def nll(self, sequences: Iterable[Ids]) -> NDArray[np.float64]:
        """-ln p of every predicted token in nats, one sequence after another: [tokens]."""
        windows = list(_windows(sequences, self.n))
        seen = [self._windows[window] for window in windows]
        before = [self._contexts[window[:-1]] for window in windows]
        return _smoothed_nll(np.array(seen), np.array(before), self.alpha, self.vocab_size)


def _best_alpha(train: Sequence[Ids], n: int, vocab_size: int, labels: Sequence[Hashable]) -> float:
    grouped: dict[Hashable, list[Ids]] = {}
    for label, sequence in zip(labels, train, strict=True):
        grouped.setdefault(label, []).append(sequence)
    windows = Counter(_windows(train, n))
    contexts = _contexts(windows)
    columns = []
    for sequences in grouped.values():
        own = Counter(_windows(sequences, n))
        own_contexts = _contexts(own)
        for window, count in own.items():
            context = window[:-1]
            columns.append(
                (count, windows[window] - count, contexts[context] - own_contexts[context])
            )
    times, seen, before = np.array(columns).T
    return min(
        ALPHAS,
        key=lambda alpha: float((times * _smoothed_nll(seen, before, alpha, vocab_size)).sum()),
    )


def _smoothed_nll(
    seen: NDArray[np.int64], before: NDArray[np.int64], alpha: float, vocab_size: int
) -> NDArray[np.float64]:
    nll: NDArray[np.float64] = np.log(before + alpha * vocab_size) - np.log(seen + alpha)
    return nll


def _windows(sequences: Iterable[Ids], n: float) -> Iterable[str]:
    """For every predicted token a string of code points: up to n - 1 characters of context, then
    the token."""
    for sequence in sequences:
        text = "".join(map(chr, sequence.tolist()))
        for end in range(2, len(text) + 1):
            yield text[int(max(0, end - n)) : end]


def _contexts(windows: Counter[str]) -> Counter[str]:
    contexts: Counter[str] = Counter()
    for window, count in windows.items():
        contexts[window[:-1]] += count
    return contexts


def ladder(
    train: Sequence[Ids],
    val: Sequence[Ids],
    vocab_size: int,
    *,
    groups: Sequence[Hashable] | None = None,
    train_masks: Sequence[Mask] | None = None,
    val_masks: Sequence[Mask] | None = None,
) -> Ladder:
    """The ladder of both splits, in plain values that can be written as JSON.

    The unigram, bigram and floor of a split are conditional entropies of that split: no model with
    that context can have a lower loss on it. The n-grams (n = 1..7) are fitted on train, and so is
    their alpha, by `groups` (one label for each training sequence). The n-gram with the lowest loss
    on val is the baseline of both splits; because it is chosen on val, it is harder to beat there.
    The masks select predicted tokens: one bool array for each sequence.

    Raises ValueError as `conditional_entropy` and `NGram.fit` do.
    """
    models = {n: NGram.fit(train, n, vocab_size, groups) for n in ORDERS}
    nlls = {n: (model.nll(train), model.nll(val)) for n, model in models.items()}
    best = min(ORDERS, key=lambda n: float(nlls[n][1].mean()))
    return {
        "train": _rungs(train, nlls[best][0], vocab_size, train_masks),
        "val": _rungs(val, nlls[best][1], vocab_size, val_masks),
        "ngrams": {
            str(n): {
                "alpha": models[n].alpha,
                "train": float(on_train.mean()),
                "val": float(on_val.mean()),
            }
            for n, (on_train, on_val) in nlls.items()
        },
        "ngram_n": best,
    }


def _rungs(
    sequences: Sequence[Ids],
    nll: NDArray[np.float64],
    vocab_size: int,
    masks: Sequence[Mask] | None,
) -> Rungs:
    return {
        "uniform": math.log(vocab_size),
        "unigram": conditional_entropy(sequences, 0),
        "bigram": conditional_entropy(sequences, 1),
        "floor": conditional_entropy(sequences),
        "ngram": float(nll.mean()),
        "class_baseline": None if masks is None else float(nll[np.concatenate(masks)].mean()),
        "tokens": len(nll),
    }
