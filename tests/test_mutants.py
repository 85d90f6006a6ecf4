"""The study of mutants changes what it should, and tells a killed mutant from a survivor."""

import ast
from pathlib import Path

import pytest

from studies import mutants
from studies.mutants import Chosen, Mutant, all_mutants, changes, fails, mutants_of


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("a < b", ["a <= b"]),
        ("a is None", ["a is not None"]),
        ("a in b", ["a not in b"]),
        ("a + b", ["a - b"]),
        ("a // b", ["a * b"]),
        ("a | b", []),
        ("a += 1", ["a -= 1"]),
        ("a and b", ["a or b"]),
        ("not a", ["a"]),
        ("True", ["False"]),
        ("3", ["4"]),
        ("2.0", ["3.0"]),
        ("0.0", ["1.0"]),
        ("'text'", []),
        ("min(a, key=b)", ["pass", "max(a, key=b)"]),
        ("a if b else c", ["a if not b else c"]),
        ("a.b = 1", ["pass"]),
        ("a(b)", ["pass"]),
        ("a = 1", []),
    ],
)
def test_each_kind_of_node_has_its_change(source: str, changed: list[str]) -> None:
    statement = ast.parse(source).body[0]
    inner = [statement.value] if isinstance(statement, ast.Expr) else []
    found = [new for node in (statement, *inner) for new in changes(node)]
    assert [ast.unparse(ast.fix_missing_locations(new)) for new in found] == changed


def test_types_docstrings_and_decorators_are_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test cannot notice such a change."""
    source = (
        "if TYPE_CHECKING:\n    x = 1\n\n\n@cache(maxsize=3)\ndef f(é: tuple[3] = ()) -> 4:\n"
        '    """Five 5."""\n    return "é" + é * 2\n'
    )
    (tmp_path / "module.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    found = list(mutants_of("module.py"))
    assert [mutant.described(source.encode()) for mutant in found] == [
        'module.py:8: return "é" + é * 2  ->  return None',
        "module.py:8: \"é\" + é * 2  ->  ('é' - é * 2)",
        "module.py:8: é * 2  ->  (é / 2)",
        "module.py:8: 2  ->  3",
    ]


def test_every_mutant_of_the_package_is_a_program() -> None:
    """There are thousands of them, none in a comment or a type."""
    found = all_mutants()
    assert len(found) > 3000
    for mutant in found[::97]:
        source = (mutants.ROOT / mutant.path).read_bytes()
        assert ast.dump(ast.parse(mutant.applied(source))) != ast.dump(ast.parse(source))


def test_a_mutant_is_killed_if_a_chosen_test_fails(tmp_path: Path) -> None:
    """The tests that do not execute it are not run."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text("def test_a(): pass\n\n\ndef test_b(): assert 0\n")
    assert not fails(["test_it.py::test_a"], tmp_path)
    assert fails(["test_it.py::test_a", "test_it.py::test_b"], tmp_path)


def test_a_survivor_is_shown_with_its_change() -> None:
    source = b"a = 1\nb = (a +\n     2)\n"
    mutant = Mutant("x.py", 11, 21, "a - 2", (2, 3))
    assert mutant.applied(source) == b"a = 1\nb = (a - 2)\n"
    assert mutant.described(source) == "x.py:2: a + 2  ->  a - 2"
    assert Chosen(["x", "y"]).places == {"x": 0, "y": 1}
