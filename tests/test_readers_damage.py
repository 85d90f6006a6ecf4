"""Whatever a file holds: a clear error, or a record that can be judged or honestly cannot; never
anything else."""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes import diagnose, read
from probes.readers import csv_log, json_columns, json_lines, json_scanner, line_batches
from probes.record import RecordError
from testing.logs import (
    KERAS,
    KERAS_HISTORY,
    LIGHTNING,
    TRAINER_LOG,
    TRAINER_STATE,
    csv_of,
    lines_of,
    points,
    written,
)

LOGS = (KERAS, KERAS_HISTORY, LIGHTNING, TRAINER_LOG, TRAINER_STATE)
UNKNOWN = "is of no format that is known here"

REFUSED = {
    "{}": UNKNOWN,
    "[]": UNKNOWN,
    "[1, 2]": UNKNOWN,
    "12": UNKNOWN,
    "null\n": UNKNOWN,
    "\n\n": UNKNOWN,
    "1,2\n3,4\n": UNKNOWN,
    "epoch 1: the loss went down\nepoch 2: and up\n": UNKNOWN,
    "\x89PNG\r\n\x1a\n\x00\x00": UNKNOWN,
    "\x00" * 4096: UNKNOWN,
    "[" * 100_000: UNKNOWN,
    "step,loss\n0,4.0\n\x00\n": UNKNOWN,
    "step,loss,loss\n0,4.0,3.0\n": "line 1: column 'loss' stands there twice",
    "step,loss\n0,4.0\n1,4.0,7\n": "line 3 has 3 cells; it must have 2, as the header",
    "step,loss\n0,4.0\n1\n2,3.0\n": "line 3 has 1 cells; it must have 2, as the header",
    "step,loss\n0,4.0\n1,high\n": "line 3: column 'loss' holds 'high'; it must be a number, or empty",
    "step,loss\n0,4.0\n1.5,4.0\n": "line 3: column 'step' holds 1.5; it must be a whole number of at most 64 bits",
    "step,loss\n0,4.0\nnan,4.0\n": "line 3: column 'step' holds nan; it must be a whole number",
    "step,loss\n0,4.0\n1e300,4.0\n": "line 3: column 'step' holds 1e+300; it must be a whole number",
    "step,loss\n0,4.0\n1_0,4.0\n": "line 3: column 'step' holds '1_0'; it must be a number",
    '{"loss": 4.0}\n{"loss": 4.\n{"loss": 3.0}\n': "line 2 is damaged: Expecting",
    '{"loss": 4.0}\n[1, 2]\n': "line 2 is [1, 2]; it must be one JSON object",
    '{"loss": 4.0}\n{"loss": true}\n': "line 2: column 'loss' holds True; it must be a number",
    '{"loss": 4.0}\n{"loss": "4.0 nats"}\n': "line 2: column 'loss' holds '4.0 nats'; it must be a number",
    '{"loss": "4.0"}\n{"loss": "4_0"}\n': "line 2: column 'loss' holds '4_0'; it must be a number",
    '{"loss": 4.0}\n{"loss": {"a": 1}}\n': "line 2: column 'loss' holds {'a': 1}; it must be a number",
    '{"loss": 4.0}\n{"loss": 1' + "0" * 400 + "}\n": "it must be a number that fits 64 bits",
    '{"loss": 4.0}\n' + "[" * 100_000 + "\n": "line 2 is damaged: ",
    '{"loss": 4.0}\n{"a": 1' + "0" * 5000 + "}\n": "line 2 is damaged: ",
    '{"log_history": 3}': "is cut off or damaged before its first entry: [ is missing before '3'",
    '{"log_history": [1, 2]}': "before its first entry: entry 1 is 1, which is no object",
    '{"log_history": [{"loss": 1.0}, 2]}': "after entry 1 of its log_history: entry 2 is 2, which is no object",
    '{"log_history": [{"loss": 1.0}]} {"log_history": []}': "after entry 1 of its log_history: '{' follows its end",
    '[{"loss": 1.0} {"loss": 2.0}]': "after entry 1 of its log_history: , or ] is missing before '{'",
    '[{"loss": 1.0}, {"loss": ': "after entry 1 of its log_history: Expecting value; give the whole file",
    '[{"a": ' + "[" * 100_000: "is cut off or damaged before its first entry: ",
    '{"loss": [4.0, 3.0], "lr": [0.1]}': "'lr' has 1 values and 'loss' 2; all lists must be of one length",
    '{"loss": [4.0, 3.0': "is cut off or damaged: Expecting",
    '{"loss": [4.0, "high"]}': "entry 2: column 'loss' holds 'high'; it must be a number",
    '{"a":\n"b\\": [1, 2"}': "is an object without a list of values",
}


@pytest.mark.parametrize(("text", "why"), REFUSED.items(), ids=map(str, range(len(REFUSED))))
def test_what_cannot_be_read_is_refused_with_path_place_and_reason(
    tmp_path: Path, text: str, why: str
) -> None:
    """Never with another exception."""
    path = written(tmp_path, text.encode("latin-1"))
    with pytest.raises(RecordError) as refused:
        read(path)
    assert (str(refused.value).startswith(str(path)), why in str(refused.value)) == (True, True), (
        refused.value
    )


def test_a_file_of_no_format_is_told_which_there_are(tmp_path: Path) -> None:
    """With what a table lacks most often."""
    with pytest.raises(
        RecordError, match=r"a record of probes, .*JSON lines, .*CSV, .*\); a table needs a line"
    ):
        read(written(tmp_path, "1,2\n3,4\n"))


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    """In the middle they are damage; at the end they are a cut."""
    with pytest.raises(RecordError, match="log, line 3 is damaged: it is no UTF-8 text"):
        read(written(tmp_path, b"step,loss\n0,4.0\n1,\xff\n2,3.0\n"))
    assert points(read(written(tmp_path, b"step,loss\n0,4.0\n1,\xff")), "loss") == {0: 4.0}


def test_a_state_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Wherever it stops being text."""
    with pytest.raises(RecordError, match=r"is cut off or damaged .*no UTF-8 text"):
        read(written(tmp_path, b'{"log_history": [{"loss": 4.0}, {"loss": "\xff"}]}'))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no loss was recorded"),
        ("step,loss\n", "no loss was recorded"),
        ('{"log_history": []}', "no loss was recorded"),
        (csv_of(step=range(40), loss=["nan"] * 40), "no cause explains"),
        (csv_of(step=[0] * 40, loss=[4.0] * 40), "1 points of loss; 20 are needed"),
        (lines_of(*({"loss": 4.0} for _ in range(40))), "the loss never fell"),
    ],
)
def test_what_says_too_little_is_not_judged(tmp_path: Path, text: str, reason: str) -> None:
    """Or, of values that are not finite, is named for them."""
    diagnosis = diagnose(read(written(tmp_path, text)))
    assert reason in diagnosis.reason or diagnosis.cause == "non-finite"


def test_a_line_without_end_is_not_taken_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line of a log is so long."""
    monkeypatch.setattr(line_batches, "LONGEST_LINE", 1000)
    with pytest.raises(RecordError, match="line 2 is longer than 1000 bytes"):
        read(written(tmp_path, '{"loss": 4.0}\n' + " " * 2000))


def test_a_value_without_end_is_not_taken_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is an entry."""
    monkeypatch.setattr(json_scanner, "LONGEST_VALUE", 1000)
    monkeypatch.setattr(json_scanner, "CHUNK", 100)
    with pytest.raises(RecordError, match="there is no end to a value within 1000 characters"):
        read(written(tmp_path, '[{"loss": 4.0}, {"loss": "' + "x" * 5000))


def test_an_object_that_is_too_large_says_what_to_write_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no rows until its last column is read."""
    monkeypatch.setattr(json_columns, "LARGEST", 50)
    with pytest.raises(
        RecordError, match="is an object of 100 bytes; above 50 write the log as JSON lines or CSV"
    ):
        read(written(tmp_path, KERAS_HISTORY))


def test_a_state_is_read_entry_by_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, however small the pieces are."""
    path = written(tmp_path, TRAINER_STATE)
    whole = points(read(path), "loss")
    for chunk in (1, 7, 100):
        monkeypatch.setattr(json_scanner, "CHUNK", chunk)
        assert points(read(path), "loss") == whole


def judged(data: bytes) -> None:
    """Read and diagnosed, or refused with a message that names the file."""
    with TemporaryDirectory() as folder:
        path = written(Path(folder), data)
        refused = ""
        try:
            diagnose(read(path))
        except RecordError as error:
            refused = str(error)
        assert not refused or str(path) in refused


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    """Behind any beginning of a log."""
    for start in ("", "step,loss\n", '{"loss": 1}\n', '{"log_history": [', '{"loss": [1'):
        judged(start.encode() + data)


@settings(max_examples=150)
@given(st.sampled_from(LOGS), st.integers(0, 10**6))
def test_a_log_with_random_damage_raises_nothing_else(text: str, seed: int) -> None:
    """Bytes changed, lost, repeated, moved; the file cut."""
    random, data = Random(seed), bytearray(text.encode())
    for _ in range(random.randint(1, 4)):
        at, length = random.randrange(len(data)), random.randint(1, 30)
        piece = bytes(data[at : at + length])
        damage = random.choice(
            [
                b"",
                piece * 2,
                bytes([random.randrange(256)]),
                piece[::-1],
                b"\n",
                b'"',
                b"e999",
                b"-",
            ]
        )
        data[at : at + length] = damage
        if not data:
            return
    judged(bytes(data[: random.randint(0, len(data))] if random.random() < 0.3 else data))


@pytest.mark.parametrize("text", LOGS)
def test_a_log_cut_anywhere_raises_nothing_else(text: str) -> None:
    """After every few bytes."""
    for end in range(0, len(text), 5):
        judged(text[:end].encode())


def test_every_line_format_skips_blank_lines(tmp_path: Path) -> None:
    """They hold nothing, at the end of a file above all."""
    blank = {
        json_lines: '\n{"loss": 4.0}\n\n{"loss": 3.0}\n \n',
        csv_log: "\nloss\n\n4.0\n\n3.0\n\n",
    }
    for text in blank.values():
        assert points(read(written(tmp_path, text)), "loss") == {0: 4.0, 1: 3.0}
