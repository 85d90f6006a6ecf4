"""A fingerprint changes with everything that a run depends on, and with nothing else."""

import ast
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from model import HEALTHY, Config, fingerprint
from model.config import change, leaves

MODULE = import_module(
    "model.fingerprint"
)  # `model.fingerprint` itself is the function of that name
ROOT = Path(__file__).parent.parent


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package's folder, whose fingerprints are computed."""
    folder = tmp_path / "model"
    shutil.copytree(
        Path(MODULE.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(MODULE, "__file__", str(folder / "fingerprint.py"))
    return folder


def another(leaf):
    """A valid value that differs from HEALTHY's."""
    value = leaves(HEALTHY)[leaf]
    if isinstance(value, str):
        return {"causal": "all-ones", "float32": "float64"}[value]
    return 1 if value == 0 else value // 2 if isinstance(value, int) else value / 2


def test_every_leaf_of_the_config_changes_the_fingerprint():
    """No two leaves give the same fingerprint."""
    configs = [HEALTHY, *(change(HEALTHY, leaf, another(leaf)) for leaf in leaves(HEALTHY))]
    assert len({fingerprint(config) for config in configs}) == len(leaves(HEALTHY)) + 1


def test_any_byte_of_any_source_changes_the_fingerprint(copy):
    """The test changes one bit of the first, the middle and the last byte of every file. The length
    stays the same."""
    before, unnoticed = fingerprint(HEALTHY), []
    for source in sorted(set(copy.glob("*.py")) - {copy / name for name in MODULE.NOT_HASHED}):
        content = source.read_bytes()
        for place in (0, len(content) // 2, len(content) - 1):
            spoiled = bytearray(content)
            spoiled[place] ^= 1
            source.write_bytes(spoiled)
            unnoticed += [(source.name, place)] if fingerprint(HEALTHY) == before else []
        source.write_bytes(content)
    assert unnoticed == []


def test_files_that_only_define_configs_are_not_hashed(copy):
    """A changed deadline does not train a run again."""
    before = fingerprint(HEALTHY)
    for name in MODULE.NOT_HASHED:
        (copy / name).write_bytes(b"")
    assert fingerprint(HEALTHY) == before


def test_files_that_train_do_not_import_those_that_are_not_hashed(copy):
    """Otherwise a change there could change a run without its fingerprint."""
    trains = [source for source in copy.glob("*.py") if source.name not in MODULE.NOT_HASHED]
    left_out = {f"model.{name.removesuffix('.py')}" for name in MODULE.NOT_HASHED} | {
        "model.__init__"
    }
    imported = {
        f"{node.module}.{alias.name}" if node.module == "model" else node.module
        for source in trains
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert trains
    assert imported & left_out == set()


def test_renamed_file_changes_the_fingerprint(copy):
    """A module is imported by its name."""
    before = fingerprint(HEALTHY)
    (copy / "verbs.py").rename(copy / "verbs_.py")
    assert fingerprint(HEALTHY) != before


def test_equal_sources_and_configs_have_one_fingerprint(copy):
    """Wherever the package is, and for every equal config."""
    of_copy = fingerprint(replace(HEALTHY, seed=7))
    shutil.rmtree(copy)
    shutil.copytree(ROOT / "model", copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert fingerprint(Config(seed=7)) == of_copy


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_computes_the_same_fingerprint(hash_seed):
    """A process can therefore find what an earlier process cached."""
    code = "from model import HEALTHY, fingerprint; print(fingerprint(HEALTHY))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert output.stdout.strip() == fingerprint(HEALTHY)
