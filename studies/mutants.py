"""Changes the code in small ways at random, and counts the changes that no test notices.

    make mutants    collects the coverage of each test, and then tries 200 mutants
    python -m studies.mutants --coverage .coverage --count 200 --seed 1

A mutant has one changed expression or statement in a module of `probes`. The coverage data tell
which tests execute the changed lines; no other test can notice the change. These tests run in a
copy of the repository, those of the module itself first, until one fails. A mutant is killed if a
test fails, or if the tests take far longer than without the change. The study prints the survivors,
with the change, so that a test can be written for each or the change named equivalent."""

from __future__ import annotations

import argparse
import ast
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("diagnosis", "record", "readers", "plugin")
"""The folders of `probes` in which code is changed."""
MAX_SECONDS = 600
"""CPU time of the tests of one mutant. The change may make a loop endless."""
IMPORTED_ONCE = ("numpy", "hypothesis", "jinja2", "jsonschema", "pygal", "scipy.stats")
"""Packages that are imported before the tests of the first mutant, because it takes time."""
COMPARED: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.LtE(), ast.LtE: ast.Lt(), ast.Gt: ast.GtE(), ast.GtE: ast.Gt(),
    ast.Eq: ast.NotEq(), ast.NotEq: ast.Eq(), ast.In: ast.NotIn(), ast.NotIn: ast.In(),
    ast.Is: ast.IsNot(), ast.IsNot: ast.Is(),
}  # fmt: skip
COMPUTED: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(), ast.Sub: ast.Add(), ast.Mult: ast.Div(), ast.Div: ast.Mult(),
    ast.FloorDiv: ast.Mult(), ast.Mod: ast.Mult(), ast.Pow: ast.Mult(), ast.BitAnd: ast.BitOr(),
}  # fmt: skip
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One change of a file.

    path   the file, relative to the repository
    begin  the place of the first changed byte
    end    the place behind the last one
    new    the text that replaces them
    lines  the first and the last changed line, counted from 1
    """

    path: str
    begin: int
    end: int
    new: str
    lines: tuple[int, int]

    def applied(self, source: bytes) -> bytes:
        return source[: self.begin] + self.new.encode() + source[self.end :]

    def described(self, source: bytes) -> str:
        old = " ".join(source[self.begin : self.end].decode().split())
        return f"{self.path}:{self.lines[0]}: {old}  ->  {self.new}"


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes by which a node may be replaced."""
    match node:
        case ast.Compare(left, [operator], comparators):
            yield ast.Compare(left, [COMPARED[type(operator)]], comparators)
        case ast.BinOp(left, operator, right) if type(operator) in COMPUTED:
            yield ast.BinOp(left, COMPUTED[type(operator)], right)
        case ast.AugAssign(target, operator, value) if type(operator) in COMPUTED:
            yield ast.AugAssign(target, COMPUTED[type(operator)], value)
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(float() as value):
            yield ast.Constant(1.5 * value or 1.0)
        case ast.Call(ast.Name(name), arguments, keywords) if name in CALLED:
            yield ast.Call(ast.Name(CALLED[name]), arguments, keywords)
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse)
        # A function that returns None in place of False usually does the same.
        case ast.Return(ast.expr() as value) if ast.unparse(value) not in ("None", "False"):
            yield ast.Return(ast.Constant(None))
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Expr(ast.Call()) | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()


def changeable(node: ast.AST) -> Iterator[ast.AST]:
    """A node and the nodes in it that may be changed. Types are left out, because they change
    nothing, and decorators such as `lru_cache(maxsize=...)`, because they change only the time."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from changeable(child)


def mutants_of(path: str) -> Iterator[Mutant]:
    """All mutants of a file."""
    source = (ROOT / path).read_bytes()
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    for node in changeable(ast.parse(source)):
        for new in changes(node):
            assert isinstance(node, ast.expr | ast.stmt)
            assert node.end_lineno
            assert node.end_col_offset
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            text = ast.unparse(ast.fix_missing_locations(new))
            if isinstance(new, ast.expr) and not isinstance(new, ast.Constant):
                text = f"({text})"
            yield Mutant(path, begin, end, text, (node.lineno, node.end_lineno))


def all_mutants() -> list[Mutant]:
    paths = [path for folder in FOLDERS for path in (ROOT / "probes" / folder).rglob("*.py")]
    names = sorted(path.relative_to(ROOT).as_posix() for path in paths)
    return [mutant for name in names for mutant in mutants_of(name)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note for each executed line which test executes it. With `-p studies.mutants`, this module is
    a plugin of pytest. Coverage must be running."""
    coverage: Any = import_module("coverage")
    coverage.Coverage.current().switch_context(item.nodeid)
    return (yield)


class Coverage:
    """Which tests execute which lines.

    tests  path of a file -> line -> the tests that execute it
    cost   test -> the number of lines that it executes
    """

    def __init__(self, files: Iterable[Path]) -> None:
        coverage: Any = import_module("coverage")  # it is installed only to develop this package
        self.tests: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.cost: dict[str, int] = defaultdict(int)
        for file in files:
            data = coverage.CoverageData(str(file))
            data.read()
            for measured in data.measured_files():
                path = re.sub(r"^.*?/(?=(?:probes|model)/)", "", measured)
                for line, contexts in data.contexts_by_lineno(measured).items():
                    for test in {*contexts} - {""}:
                        self.tests[path][line].add(test)
                        self.cost[test] += 1

    def tests_of(self, mutant: Mutant) -> tuple[list[str], list[str]]:
        """The tests that execute a changed line: those of the module, and the others. Those that
        execute few lines come first.

        A line that runs only when the module is imported holds a constant, so any test that
        executes the module may use it."""
        by_line = self.tests[mutant.path]
        first, last = mutant.lines
        found = set().union(*(by_line[line] for line in range(first, last + 1)))
        if not found or not _in_function(mutant):
            found = set().union(*by_line.values())
        stem = Path(mutant.path).stem
        own = re.compile(rf"tests/test_(?:\w+_)?{re.escape(stem.strip('_'))}\.py::")
        tests = sorted(found, key=lambda test: (self.cost[test], test))
        return [t for t in tests if own.match(t)], [t for t in tests if not own.match(t)]


def _in_function(mutant: Mutant) -> bool:
    tree = ast.parse((ROOT / mutant.path).read_bytes())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return any(
        node.body[0].lineno <= mutant.lines[0] <= (node.end_lineno or 0) for node in functions
    )


class Chosen:
    """A plugin of pytest that runs only the given tests, in the given order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.places]
        items.sort(key=lambda item: self.places[item.nodeid])


def fails(tests: Sequence[str], folder: Path) -> bool:
    """Whether any of the tests fails in a copy of the repository. They run in a child process."""
    child = os.fork()
    if not child:
        code: Any = 2
        try:
            os.chdir(folder)
            sys.path[0:0] = [str(folder)]
            resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
            out = os.open(folder / "tests.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
            options = ["-x", "-q", "-n0", "--tb=line", "-p", "no:cacheprovider", "--dashboard=off"]
            options += ["--diagnosis-json=off", "--benchmark-disable", "--rootdir", str(folder)]
            code = pytest.main([*options, *files], plugins=[Chosen(tests)])
        finally:
            os._exit(int(code))
    _, status = os.waitpid(child, 0)
    return status != 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--coverage", type=Path, nargs="+", required=True, help="coverage data")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", type=int, default=0, dest="begin", help="skip so many of them")
    options = parser.parse_args(arguments)
    for package in IMPORTED_ONCE:
        import_module(package)
    chosen = Random(options.seed).sample(all_mutants(), options.count)[options.begin :]
    coverage = Coverage(options.coverage)
    survivors = 0
    with TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        files = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split("\n")
        for file in filter(None, files):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes((ROOT / file).read_bytes())
        for number, mutant in enumerate(chosen, options.begin + 1):
            source = (ROOT / mutant.path).read_bytes()
            own, others = coverage.tests_of(mutant)
            (folder / mutant.path).write_bytes(mutant.applied(source))
            began = time.monotonic()
            # Most mutants fail a test of their module, and its few files are collected faster.
            killed = any(tests and fails(tests, folder) for tests in (own, others))
            (folder / mutant.path).write_bytes(source)
            survivors += not killed
            outcome = "killed" if killed else f"SURVIVED {len(own + others)} tests"
            seconds = time.monotonic() - began
            print(f"{number}: {outcome} ({seconds:.0f} s): {mutant.described(source)}", flush=True)
    killed_count = len(chosen) - survivors
    print(f"{killed_count} of {len(chosen)} mutants of seed {options.seed} were killed")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
