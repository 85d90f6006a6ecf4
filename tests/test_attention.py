"""Attention by groups of rows: the softmax at any scale, padding, and the grouping of rows."""

import numpy as np
import pytest

from model import HEALTHY, build
from model.attention import MAX_UNSHIFTED_SCORE, MIN_LENGTH_RATIO, AttentionPattern, layout_of
from model.batches import draw
from model.corpus import SEQUENCES

CAUSAL = np.tri(6, dtype=np.bool_)[None]  # [B, T, T]


def softmax(scores, visible):
    """The softmax over visible keys by its definition, in float64."""
    wide = np.where(visible[:, None], scores.astype(np.float64), -np.inf)
    exp = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def scores_up_to(largest):
    scores = np.random.default_rng(0).uniform(-1, 1, (1, 2, 6, 6)).astype(np.float32)
    return scores * np.float32(largest / np.abs(scores).max())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "largest", [1.0, 0.99 * MAX_UNSHIFTED_SCORE, 1.01 * MAX_UNSHIFTED_SCORE, 1e4, 1e30]
)
def test_weights_are_the_softmax_over_visible_keys_at_any_scale(largest):
    """The weights agree with and without a shift of the scores, in float32, and no warning is
    raised."""
    scores = scores_up_to(largest)
    expected = softmax(scores, CAUSAL)
    weights, _ = AttentionPattern()(scores.copy(), visible=CAUSAL)
    np.testing.assert_allclose(weights, expected, atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_hidden_key_with_a_large_score_has_no_weight():
    """Its score does not overflow and does not affect the shift."""
    scores = np.full((1, 1, 6, 6), -1000, np.float32)
    scores[..., 5] = 1000
    weights, _ = AttentionPattern()(scores.copy(), visible=CAUSAL)
    np.testing.assert_allclose(weights, softmax(scores, CAUSAL), atol=1e-6)


def test_query_without_visible_keys_has_weights_of_zero():
    """Padding attends to no key, and its weights are not NaN."""
    visible = CAUSAL.copy()
    visible[:, 4:] = False
    weights, _ = AttentionPattern()(scores_up_to(1.0), visible=visible)
    assert not weights[:, :, 4:].any()


def test_nan_in_one_row_does_not_reach_another_through_padding():
    """A row is padded with its own tokens, so a value that is not finite stays in the row where it
    arose."""
    specimen = build(HEALTHY)
    specimen.params.views(specimen.params.flat)["embed.weight"][40] = np.nan
    short, long = np.arange(8), np.full(9, 40)
    layout = layout_of(np.array([8, 9]), "causal")
    assert len(layout) == 1
    x, _ = specimen.model.embed(np.concatenate([short, long]))
    y, _ = specimen.model.blocks[0](x, layout)
    assert np.isfinite(y[:8]).all()
    assert np.isnan(y[8:]).all()


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [([30, 30], 1), ([24, 30], 1), ([10, 30], 2), ([10, 11, 30, 31, 32], 2), ([7], 1)],
)
def test_rows_of_about_equal_length_are_in_one_group(lengths, groups):
    """Little time is spent on padding, and every token has a place in exactly one group."""
    layout = layout_of(np.array(lengths), "causal")
    assert len(layout) == groups
    assert [rows.packed.start for rows in layout] == [
        0,
        *(rows.packed.stop for rows in layout[:-1]),
    ]
    assert layout[-1].packed.stop == sum(lengths)
    for rows in layout:
        own = rows.visible.any(axis=-1).sum(axis=-1)
        assert own.min() >= MIN_LENGTH_RATIO * own.max()


def test_rows_of_a_batch_are_sorted_by_length():
    """After sorting, rows of about equal length are neighbours."""
    batches = draw(build(HEALTHY).split.train, 32, np.random.default_rng(0))
    for _ in range(3):
        lengths = [len(SEQUENCES[i].text) for i in next(batches)]
        assert lengths == sorted(lengths)
