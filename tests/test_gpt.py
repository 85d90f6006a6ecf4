"""MiniGPT as a whole: its parameters, its mask, and its padding."""

import numpy as np
import pytest

from model import HEALTHY, build
from model.attention import layout_of
from model.batches import Batch
from model.config import change
from model.corpus import SEQUENCES
from model.layers import CrossEntropy
from model.params import Params

SHORT, LONG = (
    f([s.index for s in SEQUENCES], key=lambda i: len(SEQUENCES[i].text)) for f in (min, max)
)


@pytest.fixture
def double():
    """HEALTHY in float64, where equal values are equal up to rounding."""
    return build(change(HEALTHY, "model.dtype", "float64"))


def test_minigpt_has_exactly_103680_parameters():
    """4,096 in the embedding, 49,728 in each block, 128 in the final norm."""
    assert build(HEALTHY).params.flat.size == 103_680


def test_parameters_cover_the_buffer_exactly_once():
    """The named views neither overlap nor leave a gap."""
    params = build(HEALTHY).params
    for number, view in enumerate(params.views(params.flat).values()):
        view[...] = number
    counts = np.bincount(params.flat.astype(int))
    assert counts.tolist() == [param.data.size for param in params.values()]


def test_initial_matrices_have_xavier_scale():
    """Standard deviation sqrt(2 / (fan_in + fan_out)), the embedding included."""
    params = build(HEALTHY).params
    ratios = [
        p.data.std() / np.sqrt(2 / sum(p.data.shape)) for p in params.values() if p.data.ndim == 2
    ]
    assert ratios == pytest.approx([1.0] * len(ratios), rel=0.05)


def test_init_scale_multiplies_matrices_only():
    """The scale applies to every matrix and to no vector."""
    healthy, scaled = (
        build(HEALTHY).params,
        build(change(HEALTHY, "model.init_scale", 100.0)).params,
    )
    factors = {name: 100.0 if healthy[name].data.ndim == 2 else 1.0 for name in healthy}
    assert all(
        np.allclose(scaled[n].data, healthy[n].data * factor, rtol=1e-6)
        for n, factor in factors.items()
    )


def logits_of_first_row(specimen, tokens, lengths, mask):
    layout = layout_of(np.array(lengths), mask)
    return specimen.model(tokens, layout)[0][: lengths[0]].copy()


@pytest.mark.parametrize(("mask", "moves"), [("causal", False), ("all-ones", True)])
def test_later_token_changes_an_earlier_prediction_only_without_the_causal_mask(
    mask, moves, double
):
    """Only the mask decides whether the future leaks."""
    tokens = np.arange(12)
    changed = tokens.copy()
    changed[-1] = 30
    before, after = (logits_of_first_row(double, t, [12], mask)[:-1] for t in (tokens, changed))
    assert (not np.allclose(before, after, atol=1e-12)) is moves


def test_causal_mask_holds_for_huge_scores():
    """If the weights are a hundred times too large, in float32, no earlier logit changes by a
    single bit."""
    specimen = build(change(HEALTHY, "model.init_scale", 100.0))
    tokens = np.arange(12)
    changed = tokens.copy()
    changed[-1] = 30
    before, after = (
        logits_of_first_row(specimen, t, [12], "causal")[:-1] for t in (tokens, changed)
    )
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize("mask", ["causal", "all-ones"])
def test_padding_is_never_attended_to(mask, double):
    """Under either mask, the logits of a row are the same alone and beside a row of three times its
    length."""
    tokens, other = np.arange(10), np.arange(30)
    alone = logits_of_first_row(double, tokens, [10], mask)
    beside = logits_of_first_row(double, np.concatenate([tokens, other]), [10, 30], mask)
    np.testing.assert_allclose(beside, alone, atol=1e-12)


def test_padding_never_counts_in_the_loss(double):
    """The loss of a batch is the mean over its real tokens, as if each row were alone."""
    both = Batch.of(np.array([SHORT, LONG]), "causal")
    alone = [
        double.model.token_losses(*Batch.of(np.array([i]), "causal")[1:]).copy()
        for i in (SHORT, LONG)
    ]
    together = double.model.token_losses(*both[1:])
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-12)


def test_rotary_positions_make_scores_depend_on_distance_alone(double):
    """The same Q and K, both shifted by five positions, have the same product."""
    rotary, token = (
        double.model.blocks[0].attn.rotary,
        np.random.default_rng(0).standard_normal(3 * 64),
    )
    turned = np.tile(token, (1, 13, 1))
    rotary.turn(turned)
    q, k = (turned[0, :, part * 64 : part * 64 + 16] for part in range(2))
    assert q[7] @ k[3] == pytest.approx(q[12] @ k[8], abs=1e-12)
    assert q[7] @ k[3] != pytest.approx(q[7] @ k[4], abs=1e-3)


def test_rotary_positions_scale_scores_by_the_root_of_the_width_of_a_head(double):
    """Q and K are scaled by d_head^(-1/4) each. At position 0 they are not turned, and V is never
    changed."""
    qkv = np.random.default_rng(0).standard_normal((1, 1, 3 * 64))
    turned = qkv.copy()
    double.model.blocks[0].attn.rotary.turn(turned)
    np.testing.assert_allclose(turned[..., :128], qkv[..., :128] * 16**-0.25)
    np.testing.assert_array_equal(turned[..., 128:], qkv[..., 128:])


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4])
def test_loss_is_stable_for_huge_logits(offset):
    """A constant added to all logits changes nothing, and a correct prediction with certainty has a
    loss of 0."""
    logits = np.full((1, 64), offset)
    logits[0, 5] += 1000
    losses, _ = CrossEntropy()(logits, np.array([5]))
    assert losses[0] == pytest.approx(0.0, abs=1e-9)


def test_weight_decay_covers_matrices_only():
    """The slice of the buffer that decays ends where the vectors begin."""
    params = build(HEALTHY).params
    assert params.n_decayed == sum(p.data.size for p in params.values() if p.data.ndim == 2)


def test_vectors_before_matrices_are_refused():
    """Weight decay is applied to one slice, which must hold all matrices."""
    with pytest.raises(ValueError, match="matrices must come before vectors"):
        Params({"bias": (3,), "weight": (3, 3)}, "float32")


def test_q_k_and_v_share_one_buffer_and_keep_their_names():
    """Writing to the fused gradient writes to each of the three."""
    specimen = build(HEALTHY)
    fused = specimen.model.blocks[0].attn.qkv.weight
    fused.grad[...] = np.arange(3).repeat(64)[:, None]
    assert [
        float(specimen.params[f"blocks.0.attn.{part}.weight"].grad.mean()) for part in "qkv"
    ] == [0, 1, 2]


def test_parameters_are_read_only_views():
    """Only the optimizer, which has the flat buffer, changes a weight."""
    with pytest.raises(ValueError, match="read-only"):
        build(HEALTHY).params["embed.weight"].data[0, 0] = 1.0
