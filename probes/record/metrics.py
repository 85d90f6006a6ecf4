"""Metrics: measures of quality that a log holds beside its loss, and whether more is better.

A metric is recognised by the words of its name: `val_accuracy`, `eval/f1`, `test_wer`. For any
other name the fact `metric_direction` says which way is better."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

Direction = Literal["up", "down"]
"""Whether higher ("up") or lower ("down") values of a metric are better."""
UP_WORDS = frozenset(
    {
        "acc", "acc1", "acc5", "accs", "accuracy", "accuracies", "top1", "top5", "f1", "auc",
        "auroc", "auprc", "map", "map50", "map95", "ap", "ap50", "ap75", "recall", "precision",
        "r1", "r5", "r10", "ndcg", "mrr", "bleu", "sacrebleu", "rouge", "rouge1", "rouge2",
        "rougel", "rougelsum", "meteor", "iou", "miou", "dice", "psnr", "ssim", "mcc", "matthews",
        "kappa", "r2", "pearson", "spearman", "margins",
    }
)  # fmt: skip
"""Words in the name of a metric for which higher is better."""
DOWN_WORDS = frozenset(
    {"wer", "cer", "ter", "ppl", "perplexity", "error", "err", "mae", "rmse", "mape", "fid"}
)
"""Words in the name of a metric for which lower is better."""
OTHER_WORDS = frozenset(
    {
        "loss", "time", "runtime", "second", "seconds", "step", "steps", "std", "best", "max",
        "min", "improve", "improved",
    }
)  # fmt: skip
"""A name with one of these words is not the name of a metric. `error_loss` is a loss, `map_time` is
a duration, and `best_accuracy` is the highest accuracy so far, which never falls. The number in
Keras's sentence `val_acc did not improve from 0.9` is a highest accuracy too."""
ACCURACY_WORDS = frozenset({"acc", "acc1", "accs", "accuracy", "accuracies", "top1"})
"""Words in the name of a metric that is the share of right answers."""
HELD_OUT_WORDS = frozenset({"val", "valid", "validation", "eval", "dev", "test", "metrics"})
"""Words in the name of a metric that was measured on rows the model was not trained on."""

_WORD = re.compile(r"[^\W_]+")
CACHED_NAMES = 131_072
"""Number of names whose direction is cached."""


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: `metrics/mAP50-95(B)` -> metrics, map50, 95, b."""
    return _WORD.findall(name.lower())


def direction_of(name: str, stated: object = None) -> Direction | None:
    """Whether higher or lower values of a metric are better; None if neither its name nor `stated`
    says so.

    stated   the fact `metric_direction`: name -> "up" or "down". A fact of any other type says
             nothing.
    """
    given = stated.get(name) if isinstance(stated, Mapping) else None
    if given in ("up", "down"):
        return "up" if given == "up" else "down"
    return _direction_by_words(name)


@lru_cache(maxsize=CACHED_NAMES)
def _direction_by_words(name: str) -> Direction | None:
    words = set(words_of(name))
    if "@" in name:
        # `R@1` is read as the words r and 1, and also as the one word r1.
        words |= set(words_of(name.replace("@", "")))
    if words & OTHER_WORDS:
        return None
    if words & UP_WORDS:
        return "up"
    return "down" if words & DOWN_WORDS else None


def is_accuracy(name: str) -> bool:
    """Whether a metric is the share, or the percentage, of right answers."""
    return direction_of(name) == "up" and bool(set(words_of(name)) & ACCURACY_WORDS)


def is_held_out(name: str) -> bool:
    """Whether a metric was measured on rows that the model was not trained on."""
    return bool(set(words_of(name)) & HELD_OUT_WORDS)
