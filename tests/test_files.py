"""Output files are replaced in one step; links, devices and FIFOs stay what they are."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from probes.common.files import MAX_DRAFT_AGE_SECONDS, append_output, write_output


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    """Folders are made, and no draft stays."""
    path = tmp_path / "new" / "page.html"
    assert write_output(path, "old") == path
    write_output(path, "ñ")
    assert path.read_bytes() == "ñ".encode()
    assert os.listdir(path.parent) == ["page.html"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("function", ["open", "chmod", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException
) -> None:
    """A full disk or an interrupt may come at any moment, also just after the draft was made."""
    path = write_output(tmp_path / "page.html", "old")
    original = getattr(os, function)

    def fail(*arguments: object) -> None:
        if function == "open":
            os.close(original(*arguments))
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        with pytest.raises(type(error)):
            write_output(path, "new")
    assert (path.read_text(encoding="utf-8"), os.listdir(tmp_path)) == ("old", ["page.html"])


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    assert mode_of(write_output(tmp_path / "page.html", "x")) == mode_of(plain)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = write_output(tmp_path / "page.html", "old")
    path.chmod(mode)
    write_output(path, "new")
    assert (mode_of(path), path.read_text(encoding="utf-8")) == (mode, "new")


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, exists: bool) -> None:
    """The link may lead through another link, to a folder that does not exist."""
    target = tmp_path / "shared" / "page.html"
    if exists:
        write_output(target, "old")
    (tmp_path / "second").symlink_to(target)
    link = tmp_path / "first"
    link.symlink_to("second")
    assert write_output(link, "new") == link
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"
    assert os.listdir(target.parent) == ["page.html"]


def test_a_circle_of_links_is_an_error(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links"):
        write_output(link, "x")


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_output(tmp_path, "x")
    assert os.listdir(tmp_path) == []


def test_a_device_is_written_and_not_replaced() -> None:
    """Neither is a link to a device."""
    before = os.stat(os.devnull)
    write_output(os.devnull, "x")
    append_output(os.devnull, "x")
    assert os.stat(os.devnull) == before


@pytest.mark.parametrize("write", [write_output, append_output])
def test_a_program_reads_the_output_from_a_fifo(tmp_path: Path, write: object) -> None:
    """The text is longer than the buffer of a FIFO, so it arrives only if the reader is awaited."""
    assert callable(write)
    fifo, text = tmp_path / "fifo", "x" * 200_000
    os.mkfifo(fifo)
    read = f"import sys; sys.stdout.write(str(len(open({str(fifo)!r}).read())))"
    with subprocess.Popen([sys.executable, "-c", read], stdout=subprocess.PIPE) as reader:
        while True:
            try:
                write(fifo, text)
                break
            except OSError:
                assert reader.poll() is None
                time.sleep(0.01)
        assert reader.communicate()[0] == b"200000"
    assert os.listdir(tmp_path) == ["fifo"]


@pytest.mark.parametrize("write", [write_output, append_output])
def test_a_fifo_without_a_reader_is_an_error(tmp_path: Path, write: object) -> None:
    """The write does not wait."""
    assert callable(write)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="no program reads from this FIFO; start the reader first"):
        write(fifo, "x")
    assert stat.S_ISFIFO(fifo.stat().st_mode)


WRITE_TO_STDOUT = """
import sys
from probes.common.files import write_output
print("before", flush=True)
write_output(sys.argv[1], "page\\n")
print("after")
"""


@pytest.mark.skipif(not os.path.exists("/dev/fd/1"), reason="the system has no /dev/fd")
@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1"])
def test_a_file_to_which_output_is_redirected_is_not_replaced(tmp_path: Path, path: str) -> None:
    """The earlier content, the page and what the process prints afterwards are all kept."""
    out = tmp_path / "out"
    out.write_text("earlier\n", encoding="utf-8")
    with open(out, "a", encoding="utf-8") as stdout:
        command = [sys.executable, "-c", WRITE_TO_STDOUT, path]
        subprocess.run(command, check=True, stdout=stdout)
    assert out.read_text(encoding="utf-8").split() == ["earlier", "before", "page", "after"]
    piped = subprocess.run(command, check=True, capture_output=True)
    assert piped.stdout.split() == [b"before", b"page", b"after"]


def test_an_old_draft_is_removed_by_the_next_write(tmp_path: Path) -> None:
    """A young draft may belong to a process that is still writing. Other files stay."""
    stays = [".other.html.0123456789abcdef.draft", ".page.html.draft", ".page.html.mine.draft"]
    drafts = [".page.html.0123456789abcdef.draft", ".page.html.fedcba9876543210.draft"]
    for name in [*stays, *drafts]:
        (tmp_path / name).touch()
    old = time.time() - MAX_DRAFT_AGE_SECONDS - 60
    for name in [*stays, drafts[0]]:
        os.utime(tmp_path / name, (old, old))
    write_output(tmp_path / "page.html", "x")
    assert sorted(os.listdir(tmp_path)) == sorted([*stays, drafts[1], "page.html"])


@pytest.mark.parametrize("name", ["ñ" * 125, b"\xff\xfe.html", "a\nb\x1b.html", "[x]*.html"])
def test_any_name_that_the_system_allows_can_be_written(tmp_path: Path, name: str | bytes) -> None:
    """The name of the draft is not too long, and no byte of a name must be UTF-8."""
    path = tmp_path / os.fsdecode(name)
    write_output(path, "old")
    write_output(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert len(os.listdir(tmp_path)) == 1


def test_a_text_is_appended_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    append_output(path, "a\n")
    append_output(path, "ñ\n")
    assert path.read_text(encoding="utf-8") == "a\nñ\n"
