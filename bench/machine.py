"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info


def machine() -> dict[str, str]:
    """CPU, cores this process may use, kernel, versions of Python, NumPy, its BLAS and torch."""
    return {
        "CPU": _cpu(),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "BLAS": _blas(),
        "torch": torch_version() or "not importable",
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _blas() -> str:
    """NumPy's own, with the kernel it chose; other packages bring theirs."""
    loaded = [info for info in threadpool_info() if info["user_api"] == "blas"]
    ours = [info for info in loaded if "numpy" in info["filepath"]] or loaded
    return ", ".join(
        f"{b['internal_api']} {b['version']} {b.get('architecture', '')}".strip() for b in ours
    )


def torch_version() -> str | None:
    """None where it cannot be imported."""
    try:
        import torch
    except ImportError:
        return None
    return str(torch.__version__)
