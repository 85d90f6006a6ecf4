"""Which files here have a say in what a record holds: `probes.watch` and whatever it imports, followed to the end.

Computed rather than listed, so that a module that joins them cannot be forgotten. Panels, detectors and the plugin
are never reached: changing one of those trains nothing again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from hashlib import sha256
from importlib.util import resolve_name
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.name
START = f"{PACKAGE}.watch"
JUDGES = frozenset({f"{PACKAGE}.diagnosis"})
"""Not followed: these look at a record and never write one."""


def writers() -> tuple[Path, ...]:
    """The files that can change a record, in alphabetical order."""
    waiting, found = {START}, dict[str, Path]()
    while waiting:
        module = waiting.pop()
        if file := _file(module):
            found[module] = file
            waiting |= set(_imports(module, file)) - found.keys() - JUDGES
    return tuple(sorted(found.values()))


def digest() -> str:
    """A hash of the names and bytes of the writers."""
    total = sha256()
    for file in writers():
        total.update(f"{file.relative_to(HERE).as_posix()}\n".encode())
        total.update(sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _imports(module: str, file: Path) -> Iterator[str]:
    """Every module of this package that a file's import statements name, wherever in the file they stand."""
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
