"""The specimen: a MiniGPT in NumPy with a hand-written backward pass, its corpus and its training
loop."""

from __future__ import annotations

from model.breaks import BREAKS, OVERFIT, Break, remedied
from model.config import HEALTHY, Config, ConfigError
from model.fingerprint import fingerprint
from model.train import build

__all__ = [
    "BREAKS",
    "HEALTHY",
    "OVERFIT",
    "Break",
    "Config",
    "ConfigError",
    "build",
    "fingerprint",
    "remedied",
]
