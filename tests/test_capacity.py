"""A sound model learns one batch by heart, and a model that cannot see its input does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model import HEALTHY, build
from model.train import Specimen
from model.zoo import ZOO
from probes.proofs.capacity import Capacity, capacity, floor_of

CONFIG = replace(HEALTHY, model=replace(HEALTHY.model, d_model=32, n_heads=2, d_ff=64))
ROWS = [0, 3, 200, 201, 555, 601]


def test_a_sound_model_memorises_one_batch() -> None:
    result = capacity(lambda: build(CONFIG), ROWS)
    assert result.memorised
    assert result.first > 3 > 0.3 > result.last >= result.floor - 1e-5


def test_a_model_whose_tokens_look_alike_does_not() -> None:
    def blind() -> Specimen:
        return ZOO["every-token-embedded-alike"].build(CONFIG)

    assert not capacity(blind, ROWS).memorised


def test_the_floor_counts_rows_with_the_same_beginning() -> None:
    """One of four predicted tokens has two equally likely values in each of the two rows."""
    rows = [np.array([1, 2, 3]), np.array([1, 2, 4])]
    assert floor_of(rows) == pytest.approx(np.log(2) / 2)
    assert floor_of(rows[:1]) == 0


def test_a_batch_is_memorised_near_its_floor() -> None:
    assert Capacity(4.0, 0.25, 0.1).memorised
    assert not Capacity(4.0, 0.5, 0.1).memorised
