"""The constraints with which `make lowest` runs the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.lowest_versions import lowest

PROJECT = """[project]
dependencies = ["numpy>=2.0", {requirement!r}]
optional-dependencies.test = ["scipy>=1.13"]
"""


def test_each_bound_becomes_a_version(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(requirement="jinja2>=3.1"), "utf-8")
    assert [*lowest(tmp_path / "pyproject.toml")] == ["numpy==2.0", "jinja2==3.1", "scipy==1.13"]


def test_a_dependency_without_a_bound_is_an_error(tmp_path: Path) -> None:
    """Its lowest version would be the first one that was ever published."""
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(requirement="jinja2"), "utf-8")
    with pytest.raises(ValueError, match=r"jinja2 has no lower bound in pyproject\.toml"):
        list(lowest(tmp_path / "pyproject.toml"))


def test_every_dependency_of_this_project_has_a_bound() -> None:
    assert len(list(lowest())) > 10
