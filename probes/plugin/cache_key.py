"""The key of a cached record: a hash of everything on which the content of the record depends.

The hash covers the experiment's fingerprint, the source code that writes records, the versions of
Python and NumPy, and the machine. The source code is `probes.recording.watch` and every module that
it imports, directly or indirectly. These modules are found by reading the import statements, so a
new module is included without being listed. Panels, detectors and the plugin are not included, so a
change to them does not cause a new training.
"""

from __future__ import annotations

import ast
import os
import platform
from collections.abc import Iterator, Set
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import resolve_name
from pathlib import Path

HERE = Path(__file__).parent.parent
PACKAGE = HERE.name
RECORDING_MODULE = f"{PACKAGE}.recording.watch"
"""The module that trains an experiment and writes its record."""
KEY_LENGTH = 12
"""Hex digits of a key. 48 bits are enough, because a folder holds few records of an
experiment."""
KERNEL_VARIABLES = ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES")
"""Environment variables that select the kernels of OpenBLAS and NumPy. Different kernels round
differently."""


def key(fingerprint: str, environment: str) -> str:
    """The key of a record, from the experiment's fingerprint and the result of `environment`."""
    return sha256(f"{fingerprint}\0{environment}".encode()).hexdigest()[:KEY_LENGTH]


def environment() -> str:
    """Everything on which the content of a record depends, except the experiment: the source code,
    versions, machine and kernels, as text."""
    source = sha256()
    for file in writers():
        source.update(f"{file.relative_to(HERE).as_posix()}\n".encode())
        source.update(sha256(file.read_bytes()).digest())
    python = f"{platform.python_implementation()} {platform.python_version()}"
    # A BLAS library chooses its kernels by the model of the processor.
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text(encoding="utf-8").splitlines() if cpu_info.is_file() else []
    cpu = next((line for line in lines if line.startswith("model name")), platform.processor())
    machine = f"{platform.system()} {platform.machine()} {cpu}"
    kernels = [f"{name}={os.environ.get(name, '')}" for name in KERNEL_VARIABLES]
    return "\n".join([source.hexdigest(), python, version("numpy"), machine, *kernels])


def writers() -> tuple[Path, ...]:
    """The source files that can change a record, sorted."""
    return reached_from(RECORDING_MODULE)


def reached_from(start: str, without: Set[str] = frozenset()) -> tuple[Path, ...]:
    """The source files of a module and of every module of this package that it imports, directly or
    indirectly, sorted.

    without  imported modules to leave out, together with what only they import
    """
    waiting, found = {start}, dict[str, Path]()
    while waiting:
        module = waiting.pop()
        if file := _file(module):
            found[module] = file
            waiting |= set(_imports(module, file)) - found.keys() - without
    return tuple(sorted(found.values()))


def _imports(module: str, file: Path) -> Iterator[str]:
    """The names of all modules that the file imports, including imports inside functions."""
    inside = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in _import_statements(file.read_bytes()):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            source = resolve_name("." * node.level + (node.module or ""), inside)
            for name in (f"{source}.{alias.name}" for alias in node.names):
                yield name if _file(name) else source


@cache
def _import_statements(source: bytes) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """All import statements of a source file, including those inside functions. A process parses
    each source once."""
    nodes = ast.walk(ast.parse(source))
    return tuple(node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)))


def _file(module: str) -> Path | None:
    """The source file of a module of this package; None for any other name."""
    top, *rest = module.split(".")
    if top != PACKAGE:
        return None
    base = HERE.joinpath(*rest)
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)
