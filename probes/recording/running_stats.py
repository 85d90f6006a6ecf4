"""Mean and variance in one pass over the data, without cancellation when the mean is large.

Single values are added as in Welford (1962), and two samples are merged as in Chan, Golub and
LeVeque (1979). The variance is the population variance, M2 / n."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt


@dataclass
class Welford:
    """Running count, mean and sum of squared deviations (`m2`) of the finite values so far.

    Values that are not finite are counted in `nonfinite` and not used otherwise, because one NaN
    would make every later mean NaN."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    nonfinite: int = 0

    def push(self, value: float) -> None:
        """Add one value."""
        value = float(value)  # with a float32, the running mean would become a float32
        if not isfinite(value):
            self.nonfinite += 1
            return
        self.n += 1
        delta = value - self.mean
        self.mean += delta / self.n
        self.m2 += delta * (value - self.mean)

    def update(self, values: npt.ArrayLike) -> None:
        """Add all values of an array of any shape."""
        chunk = np.asarray(values, dtype=np.float64).ravel()
        finite = np.isfinite(chunk)
        if not finite.all():
            self.nonfinite += int(chunk.size - finite.sum())
            chunk = chunk[finite]
        if chunk.size:
            mean = float(chunk.mean())
            deviation = chunk - mean
            # The mean of the chunk is rounded; its residual corrects for that (the corrected
            # two-pass algorithm).
            residual = float(deviation.mean())
            m2 = float(deviation @ deviation) - chunk.size * residual * residual
            self.merge(Welford(int(chunk.size), mean, max(m2, 0.0)))

    def merge(self, other: Welford) -> None:
        """Add the values of another sample; `other` does not change."""
        total = self.n + other.n
        self.nonfinite += other.nonfinite
        if other.n:
            delta = other.mean - self.mean
            self.mean += delta * other.n / total
            self.m2 += other.m2 + delta * delta * self.n * other.n / total
            self.n = total

    @property
    def variance(self) -> float:
        """Population variance, M2 / n; NaN before the first value."""
        return self.m2 / self.n if self.n else float("nan")

    @property
    def std(self) -> float:
        return float(np.sqrt(self.variance))
