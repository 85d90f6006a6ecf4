"""Where a session keeps its records and writes what it has to say."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probes.plugin.run_cache import Store

OUTPUTS: Mapping[str, tuple[str, str]] = {
    "dashboard": (
        "reports/dashboard.html",
        "where to draw the runs that tests used; `off` draws nothing",
    ),
    "diagnosis-json": (
        "reports/diagnosis.json",
        "where to write all that was diagnosed as JSON; `off` writes nothing",
    ),
}
"""What is written at the end -> where, unless told otherwise, and the words for that.

`dashboard` is the option --dashboard and the setting probes_dashboard.
"""


class PlaceError(ValueError):
    """A place that is none; the message says which option or setting named it, and what it may
    be."""


def setting(output: str) -> str:
    """The name of the setting, and of the option's value, that say where an output goes."""
    return f"probes_{output.replace('-', '_')}"


def options() -> dict[str, Mapping[str, Any]]:
    """The options that say where."""
    return {
        f"--{output}": {
            "metavar": "PATH",
            "dest": setting(output),
            "help": f"{what} (default: from the ini file)",
        }
        for output, (_, what) in OUTPUTS.items()
    }


def settings() -> dict[str, tuple[str, str]]:
    """The settings that say where: name -> default and words for it."""
    return {
        setting(output): (default, f"{what}, relative to the root")
        for output, (default, what) in OUTPUTS.items()
    }


@dataclass(frozen=True)
class Places:
    """Where the outputs go, None for nowhere; where a path starts that stands in one, and one on
    the terminal."""

    page: Path | None
    document: Path | None
    root: Path
    here: Path

    def told(self, path: Path) -> str:
        """The path as it is told on the terminal."""
        return os.path.relpath(path, self.here) if path.is_relative_to(self.here) else str(path)


def places(option: Any, get: Callable[[str], str], root: Path, here: Path) -> Places:
    """The places that options, from `here`, and settings, from the root, ask for. Raises
    PlaceError."""
    page, document = (
        _place(output, getattr(option, setting(output)), get, root, here) for output in OUTPUTS
    )
    return Places(page, document, root, here)


def _place(
    output: str, given: str | None, get: Callable[[str], str], root: Path, here: Path
) -> Path | None:
    name, wanted = setting(output), "name a file, or say off"
    target: str = get(name) if given is None else given
    if target.lower() == "off":
        return None
    if not target.strip():
        raise PlaceError(f"--{output} or {name} is empty; {wanted}")
    path = Path(root if given is None else here, target)
    if path.is_dir():
        raise PlaceError(f"--{output} or {name}: {path} is a folder; {wanted}")
    return path


def shown(path: Path, base: Path) -> str:
    """The path as it is told: from the base where it is below that, in one spelling on every
    system."""
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


# Records


def makeshift_folder(identity: str) -> Path:
    """Where records are kept when pytest's cache is off or read-only: the same for all processes of
    a session."""
    return Path(tempfile.gettempdir(), f"probes-{identity}")


def open_store(
    make: Callable[[str], Path] | None,
    shelf: Path,
    identity: str,
    retrain: bool,
    complain: Callable[[str], None],
) -> Store:
    """In pytest's cache where there is one; what cannot be written there is read from there all the
    same.

    make      makes a folder in the cache; None: there is none
    shelf     where that folder lies, or would lie
    complain  is told in one sentence that the cache cannot be written
    """
    makeshift = makeshift_folder(identity)
    if make is None:
        return Store(makeshift, identity, retrain)
    try:
        folder = make("probes")
        with tempfile.TemporaryFile(dir=folder):
            return Store(folder, identity, retrain)
    except OSError as error:
        complain(
            f"records cannot be kept in pytest's cache ({error}); those of this session go to {makeshift}"
        )
        return Store(makeshift, identity, retrain, shelf)
