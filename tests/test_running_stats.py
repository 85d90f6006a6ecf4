"""Running moments agree with two passes over the whole sample, whatever its values and chunks."""

from math import fsum, inf, isnan, nan, sqrt
from random import Random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from probes.recording.running_stats import Welford

Chunks = list[list[float]]
EPS = float(np.finfo(np.float64).eps)
SLACK = 16 * EPS


def two_pass(values: list[float]) -> tuple[float, float]:
    """Mean and population variance with exactly rounded sums."""
    mean = fsum(values) / len(values)
    return mean, fsum((value - mean) ** 2 for value in values) / len(values)


def variance_tolerance(values: list[float]) -> float:
    """The error that rounding of the mean may cause: n eps kappa with kappa = rms / std (Chan,
    Golub and LeVeque 1983)."""
    mean, variance = two_pass(values)
    rms = sqrt(mean * mean + variance)
    return (
        len(values) * SLACK * (variance + rms * sqrt(variance)) + len(values) * (SLACK * rms) ** 2
    )


def mean_tolerance(values: list[float]) -> float:
    return len(values) * EPS * max(map(abs, values)) + 1e-300


def welford(chunks: Chunks) -> Welford:
    """Single values are pushed, longer chunks are added as arrays."""
    total = Welford()
    for chunk in chunks:
        if len(chunk) == 1:
            total.push(chunk[0])
        else:
            total.update(np.array(chunk))
    return total


def large_mean(seed: int, n: int = 2_000) -> list[float]:
    """Values with a mean of 1e9 and a standard deviation of 1e-3: a sum of squares would lose every
    digit of the variance."""
    return (1e9 + 1e-3 * np.random.default_rng(seed).standard_normal(n)).tolist()


def split(values: list[float], seed: int) -> Chunks:
    random, chunks, at = Random(seed), [], 0
    while at < len(values):
        size = random.choice([1, 2, 3, 50, 700])
        chunks.append(values[at : at + size])
        at += size
    return chunks


finite = st.floats(-1e12, 1e12, allow_subnormal=False)
crowded = st.builds(
    lambda mean, spread: mean + spread, st.sampled_from([1e9, -1e9]), st.floats(-1e-3, 1e-3)
)
samples = st.one_of(
    st.lists(st.lists(finite, max_size=9), max_size=9),
    st.lists(st.lists(crowded, max_size=9), max_size=9),
)


@given(samples)
@example([[1e9 + 0.1], [1e9 + 0.2, 1e9 + 0.3], [-1e9]])
def test_the_mean_is_that_of_two_passes(chunks: Chunks) -> None:
    """This holds for any sample in any chunks, within the rounding of n additions."""
    values = [value for chunk in chunks for value in chunk]
    if values:
        assert welford(chunks).mean == pytest.approx(
            two_pass(values)[0], rel=0, abs=mean_tolerance(values)
        )


@given(samples)
@example([[1e9 + 0.1], [1e9 + 0.2, 1e9 + 0.3], [-1e9]])
def test_the_variance_is_that_of_two_passes(chunks: Chunks) -> None:
    """This holds for any sample in any chunks, within n eps kappa."""
    values = [value for chunk in chunks for value in chunk]
    if values:
        assert welford(chunks).variance == pytest.approx(
            two_pass(values)[1], rel=0, abs=variance_tolerance(values)
        )


@pytest.mark.parametrize("seed", range(20))
def test_a_huge_mean_does_not_drown_a_tiny_variance(seed: int) -> None:
    """Mean 1e9, standard deviation 1e-3, two thousand values in chunks of any size: three digits at
    least."""
    values = large_mean(seed)
    assert welford(split(values, seed)).variance == pytest.approx(two_pass(values)[1], rel=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_merging_in_any_order_gives_the_same_moments(seed: int) -> None:
    """Parts merged as a random tree agree with two passes over everything."""
    values, random = large_mean(seed), Random(seed)
    parts = [welford([chunk]) for chunk in split(values, seed)]
    while len(parts) > 1:
        other = parts.pop(random.randrange(len(parts)))
        parts[random.randrange(len(parts))].merge(other)
    assert (parts[0].n, parts[0].variance) == (
        len(values),
        pytest.approx(two_pass(values)[1], rel=1e-3),
    )


def test_two_neighbouring_floats_have_the_variance_of_half_their_distance() -> None:
    """Their mean cannot be represented; its rounding error must not count as variance."""
    low, high = 1e9, float(np.nextafter(1e9, inf))
    assert welford([[low, high]]).variance == pytest.approx((high - low) ** 2 / 4, abs=0)


def test_single_values_and_one_chunk_agree() -> None:
    """Pushing values one by one is the same as adding one array."""
    values = large_mean(0, 500)
    one_by_one = welford([[value] for value in values])
    at_once = welford([values])
    assert at_once.variance == pytest.approx(one_by_one.variance, rel=1e-3)


def test_merging_does_not_change_the_other_sample() -> None:
    """Only the sample that receives the values changes."""
    other = welford([[1.0, 2.0, nan]])
    Welford().merge(other)
    assert other == welford([[1.0, 2.0, nan]])


def test_merging_nothing_changes_nothing() -> None:
    """An empty sample is neutral on either side."""
    some = welford([[1.0, 2.0, 4.0]])
    some.merge(Welford())
    assert some == welford([[1.0, 2.0, 4.0]])


@given(samples, st.lists(st.sampled_from([nan, inf, -inf]), max_size=5), st.randoms())
def test_nonfinite_values_are_counted_and_kept_out(
    chunks: Chunks, bad: list[float], random: Random
) -> None:
    """The moments are bit for bit those of the sample without them."""
    spoiled = list(chunks)
    for value in bad:
        spoiled.insert(random.randint(0, len(spoiled)), [value])
    with_bad, clean = welford(spoiled), welford(chunks)
    assert (with_bad.n, with_bad.mean, with_bad.m2, with_bad.nonfinite) == (
        clean.n,
        clean.mean,
        clean.m2,
        len(bad),
    )


def test_nonfinite_values_inside_a_chunk_are_kept_out() -> None:
    """One NaN does not affect the other values."""
    stats = welford([[1.0, nan, 3.0, inf, -inf]])
    assert (stats.n, stats.mean, stats.variance, stats.nonfinite) == (2, 2.0, 1.0, 3)


def test_mean_of_float32_values_has_the_precision_of_float64() -> None:
    """A thousand float32 values, pushed one by one."""
    values = [np.float32(1e4 + i / 7) for i in range(1000)]
    stats = Welford()
    for value in values:
        stats.push(value)
    assert stats.mean == pytest.approx(fsum(map(float, values)) / 1000, rel=1e-14)


def test_an_array_of_any_shape_is_one_sample() -> None:
    """The shape does not affect the mean."""
    values = np.arange(24.0)
    stats = Welford()
    stats.update(values.reshape(2, 3, 4))
    assert stats == welford([values.tolist()])


def test_equal_values_have_no_variance() -> None:
    """Rounding never makes the variance negative, so the standard deviation is a number."""
    stats = welford([[0.1] * 1000, [0.1] * 7])
    assert 0.0 <= stats.std < 1e-15


def test_variance_without_values_is_nan() -> None:
    """The variance is then unknown, not zero."""
    assert isnan(Welford().variance)
