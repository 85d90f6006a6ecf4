"""What decides a record's bits besides the experiment itself: the source that writes it, the
versions, the machine.

The source is `probes.recording.watch` and whatever it imports, followed to the end. That is
computed rather than listed, so that a module that joins cannot be forgotten. Panels, detectors and
the plugin are never reached: changing one of those trains nothing again."""

from __future__ import annotations

import ast
import os
import platform
from collections.abc import Iterator, Set
from hashlib import sha256
from importlib.metadata import version
from importlib.util import resolve_name
from pathlib import Path

HERE = Path(__file__).parent.parent
PACKAGE = HERE.name
START = f"{PACKAGE}.recording.watch"
LENGTH = 12
"""Hex digits of a key: 48 bits, for the handful of files of one name in one folder."""
KERNEL_VARIABLES = ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES")
"""Environment variables that choose other kernels for the same arithmetic, and with them other last
bits."""


def key(fingerprint: str, surroundings: str) -> str:
    """Short hash of an experiment's fingerprint and of all else that decides what its record will
    hold."""
    return sha256(f"{fingerprint}\0{surroundings}".encode()).hexdigest()[:LENGTH]


def surroundings() -> str:
    """Everything but the experiment: source, versions, machine, kernels."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{platform.system()} {platform.machine()} {_cpu()}"
    kernels = [f"{name}={os.environ.get(name, '')}" for name in KERNEL_VARIABLES]
    return "\n".join([digest(), python, version("numpy"), machine, *kernels])


def writers() -> tuple[Path, ...]:
    """The files that can change a record, in alphabetical order."""
    return reached_from(START)


def reached_from(start: str, without: Set[str] = frozenset()) -> tuple[Path, ...]:
    """The files of a module and of all in this package that it imports, in alphabetical order."""
    waiting, found = {start}, dict[str, Path]()
    while waiting:
        module = waiting.pop()
        if file := _file(module):
            found[module] = file
            waiting |= set(_imports(module, file)) - found.keys() - without
    return tuple(sorted(found.values()))


def digest() -> str:
    """A hash of the names and bytes of the writers."""
    total = sha256()
    for file in writers():
        total.update(f"{file.relative_to(HERE).as_posix()}\n".encode())
        total.update(sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _imports(module: str, file: Path) -> Iterator[str]:
    """Every module of this package that a file's import statements name, wherever in the file they
    stand."""
    inside = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), inside)
            for name in (f"{source}.{alias.name}" for alias in node.names):
                yield name if _file(name) else source


def _file(module: str) -> Path | None:
    """The source of this package or of a module in it; None for anything else."""
    top, *rest = module.split(".")
    if top != PACKAGE:
        return None
    base = HERE.joinpath(*rest)
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _cpu() -> str:
    """The processor's model: BLAS picks its kernels by what it finds there."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())
