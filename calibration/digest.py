"""A hash of everything that decides a judged result: the detectors and the configs that are judged.

It covers `probes.diagnosis` and every module of the package that it imports, as code: comments,
docstrings and layout do not count, and every Python version gives the same hash. It also covers the
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
WRITERS = frozenset({f"{cache_key.PACKAGE}.record.builder", f"{cache_key.PACKAGE}.record.jsonl"})
"""Modules that fill a record. They are left out, because a diagnosis depends on the record and not
on how it was filled."""
DIGITS = 16
"""Hexadecimal digits of the hash: short enough for a table."""
WITHOUT_MEANING = frozenset({"ctx", "kind", "type_comment"})
"""Fields of the syntax tree that do not change what the code does."""


def digest() -> str:
    """The hash of the detectors and of the configs."""
    total = sha256()
    for file in judging_files():
        code = normalised(file.read_text(encoding="utf-8"))
        total.update(f"{file.relative_to(cache_key.HERE).as_posix()}\n{code}\n".encode())
    total.update("\n".join(_configs()).encode())
    return total.hexdigest()[:DIGITS]


def judging_files() -> tuple[Path, ...]:
    """The files that can change a diagnosis, in alphabetical order."""
    return cache_key.reached_from(START, without=WRITERS)


def normalised(source: str) -> str:
    """The syntax tree of a source as text, without docstrings."""
    return _text(ast.parse(source).body)


def _configs() -> Iterator[str]:
    yield repr(leaves(HEALTHY))
    yield from (f"{row.name} {row.leaf} {row.new!r} {row.cause}" for row in BREAKS.values())
    yield repr(leaves(OVERFIT))


def _text(node: object) -> str:
    if isinstance(node, list):
        return f"[{','.join(_text(item) for item in node if not _is_docstring(item))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (f"{name}={_text(value)}" for name, value in _fields(node))
    return f"{type(node).__name__}({','.join(fields)})"


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some of them with an empty string
            value = [part for part in value if getattr(part, "value", None) != ""]
        if name not in WITHOUT_MEANING and value is not None and value != []:
            yield name, value


def _is_docstring(node: object) -> bool:
    """Also a string below a constant that documents it: a statement that is a string does
    nothing."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
