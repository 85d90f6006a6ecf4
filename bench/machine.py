"""The hardware and the software that the figures are measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info


def machine() -> dict[str, str]:
    """Return the CPU, the number of usable cores, the kernel, and the versions of Python, NumPy,
    NumPy's BLAS and PyTorch."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    return {
        "CPU": _cpu(),
        "cores": str(cores),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "BLAS": _blas(),
        "torch": torch_version() or "not installed",
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _blas() -> str:
    """NumPy's BLAS and the kernel it chose. Other packages may have loaded a BLAS of their own."""
    loaded = [info for info in threadpool_info() if info["user_api"] == "blas"]
    ours = [info for info in loaded if "numpy" in info["filepath"]] or loaded
    return ", ".join(
        f"{blas['internal_api']} {blas['version']} {blas.get('architecture', '')}".strip()
        for blas in ours
    )


def torch_version() -> str | None:
    """The version of PyTorch; None when it cannot be imported."""
    try:
        import torch
    except ImportError:
        return None
    return str(torch.__version__)
