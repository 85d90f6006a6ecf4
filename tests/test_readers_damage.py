"""Whatever a file holds, reading it gives a record or a RecordError, and no other exception."""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes import diagnose, read
from probes.record import RecordError
from testing.logs import (
    KERAS,
    KERAS_HISTORY,
    LIGHTNING,
    TRAINER_LOG,
    TRAINER_STATE,
    csv_of,
    lines_of,
    written,
)

LOGS = (KERAS, KERAS_HISTORY, LIGHTNING, TRAINER_LOG, TRAINER_STATE)
UNKNOWN = "is not in a known format"

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
    "step,loss,loss\n0,4.0,3.0\n": "line 1: column 'loss' appears twice",
    "step,loss\n0,4.0\n1,4.0,7\n": "line 3 has 3 cells; it must have 2, like the header",
    "step,loss\n0,4.0\n1\n2,3.0\n": "line 3 has 1 cells; it must have 2, like the header",
    "step,loss\n0,4.0\n1,high\n": "line 3: column 'loss' holds 'high'; it must be a number, or",
    "step,loss\n0,4.0\n1.5,4.0\n": "line 3: column 'step' holds 1.5; it must be a whole number of",
    "step,loss\n0,4.0\nnan,4.0\n": "line 3: column 'step' holds nan; it must be a whole number",
    "step,loss\n0,4.0\n1e300,4.0\n": "line 3: column 'step' holds 1e+300; it must be a whole",
    "step,loss\n0,4.0\n1_0,4.0\n": "line 3: column 'step' holds '1_0'; it must be a number",
    '{"loss": 4.0}\n{"loss": 4.\n{"loss": 3.0}\n': "line 2 is damaged: Expecting",
    '{"loss": 4.0}\n[1, 2]\n': "line 2 is [1, 2]; it must be one JSON object",
    '{"loss": 4.0}\n{"loss": true}\n': "line 2: column 'loss' holds True; it must be a number",
    '{"loss": 4.0}\n{"loss": "4.0 nats"}\n': "line 2: column 'loss' holds '4.0 nats'; it must be",
    '{"loss": "4.0"}\n{"loss": "4_0"}\n': "line 2: column 'loss' holds '4_0'; it must be a number",
    '{"loss": 4.0}\n{"loss": {"a": 1}}\n': "line 2: column 'loss' holds {'a': 1}; it must be a",
    '{"loss": 4.0}\n{"loss": 1' + "0" * 400 + "}\n": "it must be a number that fits 64 bits",
    '{"loss": 4.0}\n' + "[" * 100_000 + "\n": "line 2 is damaged: ",
    '{"loss": 4.0}\n{"a": 1' + "0" * 5000 + "}\n": "line 2 is damaged: ",
    '{"log_history": 3}': "its log_history is 3; it must be a list of objects, one per row",
    '{"log_history": [1, 2]}': "entry 1 is 1; it must be an object",
    '{"log_history": [{"loss": 1.0}, 2]}': "entry 2 is 2; it must be an object",
    '{"log_history": [{"loss": 1.0}]} {"log_history": []}': "is cut off or damaged: Extra data",
    '[{"loss": 1.0} {"loss": 2.0}]': "is cut off or damaged: Expecting ',' delimiter: line 1",
    '[{"loss": 1.0}, {"loss": ': "is cut off or damaged: Expecting value: line 1 column 26",
    '[{"a": ' + "[" * 100_000: "is cut off or damaged: ",
    '[{"loss": 1.0}, {"loss": "\xff"}]': "is cut off or damaged: it is not UTF-8 text",
    '{"loss": [4.0, 3.0], "lr": [0.1]}': (
        "'lr' has 1 values and 'loss' 2; all lists must have the same length"
    ),
    '{"loss": [4.0, 3.0': "is cut off or damaged: Expecting",
    '{"loss": [4.0, "high"]}': "entry 2: column 'loss' holds 'high'; it must be a number",
    '{"a":\n"b\\": [1, 2"}': "is an object without a list of values",
}


@pytest.mark.parametrize(("text", "why"), REFUSED.items(), ids=map(str, range(len(REFUSED))))
def test_what_cannot_be_read_is_refused_with_path_place_and_reason(
    tmp_path: Path, text: str, why: str
) -> None:
    path = written(tmp_path, text.encode("latin-1"))
    with pytest.raises(RecordError) as refused:
        read(path)
    message = str(refused.value)
    assert message.startswith(str(path)), message
    assert why in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no loss was recorded"),
        ("step,loss\n", "no loss was recorded"),
        ('{"log_history": []}', "no loss was recorded"),
        (csv_of(step=[0] * 40, loss=[4.0] * 40), "1 points of loss; 20 are needed"),
        (lines_of(*({"loss": 4.0 + i % 2} for i in range(40))), "the loss never fell"),
    ],
)
def test_a_log_that_says_too_little_is_not_judged(tmp_path: Path, text: str, reason: str) -> None:
    diagnosis = diagnose(read(written(tmp_path, text)))
    assert (diagnosis.verdict, reason in diagnosis.reason) == ("undetermined", True)


def test_a_log_of_nans_is_unhealthy(tmp_path: Path) -> None:
    """NaN counts as a measured value, so the log is judged and not refused."""
    text = csv_of(step=range(40), loss=["nan"] * 40)
    assert diagnose(read(written(tmp_path, text))).cause == "non-finite"


def check_that_only_record_errors_are_raised(data: bytes) -> None:
    """Read and diagnose the bytes as a log. A RecordError must name the file."""
    with TemporaryDirectory() as folder:
        path = written(Path(folder), data)
        message = str(path)
        try:
            diagnose(read(path))
        except RecordError as error:
            message = str(error)
        assert str(path) in message


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    """This also holds if the random bytes follow the beginning of a log."""
    for start in ("", "step,loss\n", '{"loss": 1}\n', '{"log_history": [', '{"loss": [1'):
        check_that_only_record_errors_are_raised(start.encode() + data)


@settings(max_examples=150)
@given(st.sampled_from(LOGS), st.integers(0, 10**6))
def test_a_log_with_random_damage_raises_nothing_else(text: str, seed: int) -> None:
    """Bytes are changed, removed, repeated or reversed, and the file is sometimes cut."""
    random, data = Random(seed), bytearray(text.encode())
    for _ in range(random.randint(1, 4)):
        at, length = random.randrange(len(data)), random.randint(1, 30)
        piece = bytes(data[at : at + length])
        replacements = (
            b"", piece * 2, bytes([random.randrange(256)]), piece[::-1], b"\n", b'"', b"e999", b"-",
        )  # fmt: skip
        data[at : at + length] = random.choice(replacements)
        if not data:
            return
    end = random.randint(0, len(data)) if random.random() < 0.3 else len(data)
    check_that_only_record_errors_are_raised(bytes(data[:end]))


@pytest.mark.parametrize("text", LOGS)
def test_a_log_cut_anywhere_raises_nothing_else(text: str) -> None:
    for end in range(0, len(text), 11):
        check_that_only_record_errors_are_raised(text[:end].encode())
