"""Names of metrics and the direction in which each is better."""

import pytest

from probes.record import metrics
from probes.record.metrics import direction_of, is_accuracy, is_held_out


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("accuracy", "up"),
        ("val/Acc@1", "up"),
        ("R@5", "up"),
        ("eval_f1_macro", "up"),
        ("metrics/mAP50-95(B)", "up"),
        ("val_i2t_r1", "up"),
        ("eval_rouge-1", "up"),
        ("rewards/margins", "up"),
        ("eval_wer", "down"),
        ("perplexity", "down"),
    ],
)
def test_the_words_of_a_name_say_which_way_a_metric_is_better(name, direction):
    """Any character that is not a letter or digit may separate the words."""
    assert direction_of(name) == direction


@pytest.mark.parametrize(
    "name",
    [
        "loss",
        "accuracy_loss",
        "map_runtime",
        "mapping",
        "best_acc",
        "val_acc did not improve from",
        "val_acc improved from",
        "lr",
    ],
)
def test_other_columns_are_no_metrics(name):
    """Losses, durations and running maxima are none, and a word must match as a whole."""
    assert direction_of(name) is None


def test_a_stated_direction_takes_precedence_over_the_name():
    """A direction that is neither "up" nor "down" says nothing."""
    assert direction_of("score", {"score": "up"}) == "up"
    assert direction_of("accuracy", {"accuracy": "down"}) == "down"
    assert direction_of("score", {"score": 1}) is None


def test_accuracies_and_held_out_metrics_are_known_by_name():
    """F1 is no share of right answers, and `train_acc` was measured on rows of training."""
    assert [is_accuracy(n) for n in ("val_acc", "top1", "f1")] == [True, True, False]
    assert [is_held_out(n) for n in ("val_acc", "metrics/recall(B)", "train_acc")] == [
        True,
        True,
        False,
    ]


def test_the_direction_of_a_name_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The readers need it several times for each column, and a log may have many columns."""
    direction_of("once_accuracy_3")
    monkeypatch.setattr(metrics, "words_of", None)
    assert direction_of("once_accuracy_3") == "up"


@pytest.mark.parametrize("stated", [None, [], ["psi"], "psi", 3, {"psi": 1}, {"psi": ["up"]}])
def test_a_fact_of_another_type_states_no_direction(stated: object) -> None:
    assert direction_of("psi", stated) is None
    assert direction_of("wer", stated) == "down"
