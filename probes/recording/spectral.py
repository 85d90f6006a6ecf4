"""Estimates the largest singular value of a matrix by power iteration on a block of vectors (Halko,
Martinsson and Tropp 2011).

The block contains the singular vectors of the previous call and fresh random vectors. The previous
vectors are good starting points if the matrix has changed only a little. The random ones find a new
direction if its singular value has become the largest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-4
"""Relative change of the estimate at which the iteration stops. For random matrices the estimate is
then within 1 % of the SVD's."""
MAX_ITERATIONS = 100
"""Upper bound on the iterations for matrices whose leading singular values are almost equal. Their
estimate is accurate long before this bound is reached."""
WARM, FRESH = 2, 2
"""Number of vectors in a block that are kept from the previous call, and that are drawn anew."""


class SpectralNorm:
    """Estimates the spectral norm of named matrices, and keeps the leading right singular vectors
    of each. The estimate never exceeds the true value."""

    def __init__(self) -> None:
        self._vectors: dict[str, npt.NDArray[np.float64]] = {}
        self._rng = np.random.default_rng(0)

    def __call__(self, name: str, matrix: npt.NDArray[Any]) -> float:
        """Estimate the largest singular value of `matrix` [m, n]. `name` identifies the matrix in
        later calls. The result is NaN if a value is not finite, and 0 if all values are 0."""
        largest = float(np.abs(matrix).max(initial=0.0))
        if largest == 0 or not np.isfinite(largest):
            return 0.0 if largest == 0 else float("nan")
        # Scale the matrix, so that no square overflows or underflows.
        wide = np.divide(matrix, largest, dtype=np.float64)
        fresh = self._rng.standard_normal(
            (wide.shape[1], FRESH if name in self._vectors else WARM + FRESH)
        )
        block = np.hstack([self._vectors[name], fresh]) if name in self._vectors else fresh
        sigma = 0.0
        for _ in range(MAX_ITERATIONS):
            block = np.linalg.qr(block)[0]  # [n, k]
            image = wide @ block
            eigenvalues, eigenvectors = np.linalg.eigh(image.T @ image)  # ascending
            self._vectors[name] = block @ eigenvectors[:, -WARM:]
            previous, sigma = sigma, float(np.sqrt(eigenvalues[-1]))
            if abs(sigma - previous) <= TOLERANCE * sigma:
                break
            # Apply the matrix twice per iteration, because the QR decomposition is slower than a
            # product.
            block = wide.T @ (wide @ (wide.T @ image))
        return sigma * largest
