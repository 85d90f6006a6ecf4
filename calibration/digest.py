"""What a judged result is a result of: a hash of all that judges and of what it is judged on.

It covers `probes.diagnosis` and every module of the package it reaches, as code: comments,
docstrings and layout do not count, and no Python version writes it in another way. With it go the
leaves of HEALTHY, of the breaks and of OVERFIT."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from model.breaks import BREAKS, OVERFIT
from model.config import HEALTHY, leaves
from probes.plugin import cache_key

START = f"{cache_key.PACKAGE}.diagnosis.diagnose"
RECORDERS = frozenset({f"{cache_key.PACKAGE}.record.builder", f"{cache_key.PACKAGE}.record.jsonl"})
"""Not followed: what fills a record; a diagnosis is of the record, whatever filled it."""
LENGTH = 16
"""Hex digits: it stands in tables."""
WITHOUT_MEANING = frozenset({"ctx", "kind", "type_comment"})
"""Fields of the syntax tree that say how something is written or repeat where it stands."""


def digest() -> str:
    """The hash of the judges and of the configs they judge."""
    total = sha256()
    for file in judges():
        code = meaning(file.read_text(encoding="utf-8"))
        total.update(f"{file.relative_to(cache_key.HERE).as_posix()}\n{code}\n".encode())
    total.update("\n".join(_configs()).encode())
    return total.hexdigest()[:LENGTH]


def judges() -> tuple[Path, ...]:
    """The files that can change a diagnosis, in alphabetical order."""
    return cache_key.reached_from(START, without=RECORDERS)


def meaning(source: str) -> str:
    """The syntax tree of a source without what only a reader sees."""
    return _shape(ast.parse(source).body)


def _configs() -> Iterator[str]:
    yield repr(leaves(HEALTHY))
    yield from (f"{row.name} {row.leaf} {row.new!r} {row.cause}" for row in BREAKS.values())
    yield repr(leaves(OVERFIT))


def _shape(node: object) -> str:
    if isinstance(node, list):
        return f"[{','.join(_shape(item) for item in node if not _is_docstring(item))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (f"{name}={_shape(value)}" for name, value in _fields(node))
    return f"{type(node).__name__}({','.join(fields)})"


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some of them with an empty string
            value = [part for part in value if getattr(part, "value", None) != ""]
        if name not in WITHOUT_MEANING and value is not None and value != []:
            yield name, value


def _is_docstring(node: object) -> bool:
    """Also the one below a constant: a string that is a statement does nothing, wherever it
    stands."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
