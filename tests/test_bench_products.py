"""The products that a step is measured against are the step's own, on its rows and in its
places."""

import sys
from dataclasses import replace

import numpy as np
import pytest

import model
from bench import products
from bench.rows import LENGTHS, LONGEST, full_length, padded
from model import HEALTHY, build
from model.corpus import SEQUENCES

STEPS = replace(HEALTHY, eval_every=HEALTHY.steps)


def test_padding_has_no_target():
    """And each row its own tokens, the targets one ahead."""
    ids = np.array([int(LENGTHS.argmin()), int(LENGTHS.argmax())])
    tokens, targets = padded(ids, -100)
    short = int(LENGTHS.min())
    assert tokens.shape == targets.shape == (2, LENGTHS.max())
    assert (targets[0, short:] == -100).all()
    assert (targets[0, : short - 1] == tokens[0, 1:short]).all()
    assert (targets[1] >= 0).all()


def test_rows_of_full_length_leave_no_padding():
    """Whatever the batch."""
    specimen = build(STEPS)
    full_length(specimen)
    run = specimen.steps()
    drawn = {int(i) for _ in range(3) for i in next(run).batch_ids}
    assert drawn == set(LONGEST)
    assert {len(SEQUENCES[i].text) for i in drawn} == {int(LENGTHS.max()) + 1}


@pytest.fixture(scope="module")
def recorded():
    return products.record(STEPS, 3)


def test_the_recorded_steps_are_the_steps(recorded):
    """Same batches, same rate."""
    steps = build(STEPS).steps()
    for theirs in recorded:
        ours = next(steps)
        assert (theirs.batch_ids == ours.batch_ids).all()
        assert theirs.lr == ours.lr


def test_recorded_products_are_those_of_weights_and_of_attention(recorded):
    """Per matrix one forward and two backward; no one-hot rows of an embedding are among them."""
    model_, N = HEALTHY.model, int(LENGTHS[recorded[0].batch_ids].sum())
    C, F, V, L = model_.d_model, model_.d_ff, model_.vocab_size, model_.n_layers
    flat = [product.flops for product in recorded[0].products if product.out.ndim == 2]
    assert sum(flat) == 6 * N * (L * (4 * C * C + 2 * C * F) + V * C)
    batched = sum(product.flops for product in recorded[0].products if product.out.ndim > 2)
    real = 12 * L * C * int((LENGTHS[recorded[0].batch_ids].astype(int) ** 2).sum())
    assert real <= batched <= 32 * 12 * L * C * int(LENGTHS.max()) ** 2


def test_products_made_again_change_nothing_that_they_read(recorded):
    """So the thousandth time takes what the first took."""
    before = [(product.a.copy(), product.b.copy()) for product in recorded[0].products]
    products.replay(recorded[0].products)
    for product, (a, b) in zip(recorded[0].products, before, strict=True):
        assert np.array_equal(product.a, a, equal_nan=True)
        assert np.array_equal(product.b, b, equal_nan=True)
    last = recorded[0].products[-1]
    np.testing.assert_allclose(last.out, last.a @ last.b, rtol=1e-4, atol=1e-3)


def test_what_products_read_is_made_of_ordinary_numbers(recorded):
    """A denormal one, as training may leave, takes many times as long to multiply."""
    for product in recorded[0].products:
        for operand in product[:2]:
            assert operand.std() == pytest.approx(1, abs=0.2)


def test_the_model_that_everybody_uses_is_never_recorded(recorded):
    """Neither its modules nor its arrays."""
    assert sys.modules["model"] is model
    assert sys.modules["model.train"].build is build
    specimen = build(STEPS)
    next(specimen.steps())
    assert type(specimen.params.flat) is np.ndarray
    assert recorded
    assert products.Telling.heard == []


def test_products_that_cannot_be_heard_are_an_error(monkeypatch):
    """Rather than a floor that is too low."""
    monkeypatch.setattr(products, "FRESH", ())
    with pytest.raises(
        products.MissingProductsError, match=r"heard matrix products of 0 operations"
    ):
        products.record(STEPS, 1)
