"""A process that is killed while it writes loses nothing that it had written."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies import kills


def test_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """One kill of each kind of writer; `python -m studies.kills` makes 200."""
    assert kills.main(["--kills", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{kind}: 1 kills, 0 lost" for kind in kills.KINDS
    ]


@pytest.mark.filterwarnings("ignore:the record kept at:UserWarning")
@pytest.mark.parametrize("kind", kills.KINDS)
def test_a_loss_is_found(tmp_path: Path, kind: str) -> None:
    """The study would say so if the file were cut off, or if a write had left nothing."""
    write, check = kills.KINDS[kind]
    lines = write(tmp_path)
    announced = [next(lines) for _ in range(2)][1:]
    lines.close()  # type: ignore[attr-defined]
    for path in tmp_path.rglob("*.*"):
        path.write_bytes(path.read_bytes()[:200])
    assert check(tmp_path, announced)
