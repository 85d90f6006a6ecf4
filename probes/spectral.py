"""Largest singular value of a matrix by power iteration, warm-started from the last time the matrix was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-4
"""Relative change of the estimate at which the iteration stops; chosen on seeds 0-9 to agree with SVD within 1 %."""
MAX_ITERATIONS = 100


class SpectralNorm:
    """Keeps one right singular vector per name. The estimate never exceeds the true value (Rayleigh quotient)."""

    def __init__(self) -> None:
        self._vectors: dict[str, npt.NDArray[Any]] = {}

    def __call__(self, name: str, matrix: npt.NDArray[Any]) -> float:
        """Estimate for `matrix` [m, n]; NaN when it holds a value that is not finite, 0 when it is zero."""
        vector = self._vectors.get(name)
        if vector is None:
            start = np.random.default_rng(0).standard_normal(matrix.shape[1])
            vector = (start / np.linalg.norm(start)).astype(matrix.dtype)
        sigma = 0.0
        for _ in range(MAX_ITERATIONS):
            image = matrix @ vector
            previous, sigma = sigma, float(np.linalg.norm(image))
            if not np.isfinite(sigma):
                self._vectors.pop(name, None)
                return float("nan")
            back = matrix.T @ image
            length = float(np.linalg.norm(back))
            if length == 0:
                return sigma
            vector = back / length
            if abs(sigma - previous) <= TOLERANCE * sigma:
                break
        self._vectors[name] = vector
        return sigma
