"""The sealed answers of a round: a commitment that the learner puts into git before answering, and
the masked answers.

The commitment is sha256(salt + canonical JSON of the answers). The answers are masked with a
keystream that is derived from the salt. A reader of the file or a text search cannot recognise
them, but a few lines of code can unmask them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path

from exercise.paths import DRAW, RoundError, sha256_of
from probes.common.files import write_output

SALT_BYTES = 32
ABOUT = (
    "The sealed answers of one round of blind diagnosis. Commit this file before you write your "
    "diagnoses, and do not edit it; see docs/blind.md."
)
RESTORE = (
    "restore it with `git checkout -- seal.json` in its folder, or remove it and draw another "
    f"round with `{DRAW}`"
)


@dataclass(frozen=True)
class SealedRun:
    """The true cause behind one page, and the hashes of its files.

    cause   what is wrong with the run
    page    sha256 of the file of the page
    record  sha256 of the file of the record
    name    file name of the record
    """

    cause: str
    page: str
    record: str
    name: str


@dataclass(frozen=True)
class SealedAnswers:
    """The common seed of all runs, and the sealed facts about each run.

    runs  name of a run -> its sealed facts
    """

    seed: int
    runs: Mapping[str, SealedRun]

    def canonical(self) -> bytes:
        """Canonical JSON. Its length is the same for every order of the causes, so it does not tell
        the order."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Seal:
    """The content of seal.json.

    commitment  sha256 of salt and answers, in hexadecimal digits
    salt        random bytes, in hexadecimal digits
    answers     the masked answers, in hexadecimal digits
    revealed    hash of the learner's answers that were scored; "" before the reveal
    """

    commitment: str
    salt: str
    answers: str
    revealed: str = ""

    def open(self, path: Path) -> SealedAnswers:
        """Unmask the answers. Raises RoundError when they do not match the commitment; its message
        names `path`, the file of the seal."""
        try:
            salt, masked = bytes.fromhex(self.salt), bytes.fromhex(self.answers)
            content = _mask(masked, salt)
            if sha256_of(salt + content) != self.commitment:
                raise ValueError("salt and answers do not match the commitment")
            tree = json.loads(content)
            runs = {run: SealedRun(**sealed) for run, sealed in tree["runs"].items()}
            return SealedAnswers(tree["seed"], runs)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RoundError(
                f"{path} was changed after the round was drawn: {error}; {RESTORE}"
            ) from error


def close(answers: SealedAnswers) -> Seal:
    """Seal the answers with a new salt."""
    salt, content = secrets.token_bytes(SALT_BYTES), answers.canonical()
    return Seal(sha256_of(salt + content), salt.hex(), _mask(content, salt).hex())


def read(path: Path) -> Seal:
    """Read the seal of a round. Raises RoundError when the file is missing or is not a seal."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RoundError(
            f"{path} does not exist, so there is no round to reveal; draw one with `{DRAW}`"
        ) from None
    except ValueError as error:
        raise RoundError(f"{path} is not valid JSON ({error}); {RESTORE}") from error
    names = [field.name for field in fields(Seal)]
    if not isinstance(content, dict) or not all(isinstance(content.get(n), str) for n in names):
        raise RoundError(
            f"{path} is not a seal: it must hold the strings {', '.join(names)}; {RESTORE}"
        )
    return Seal(**{name: content[name] for name in names})


def write(seal: Seal, path: Path) -> None:
    """Write the seal atomically, because a partly written seal would make the round unusable."""
    write_output(path, json.dumps({"about": ABOUT, **asdict(seal)}, indent=1) + "\n")


def _mask(content: bytes, salt: bytes) -> bytes:
    """XOR the content with a keystream of sha256 blocks. Masking it twice gives the content
    back."""
    blocks = range(len(content) // sha256().digest_size + 1)
    stream = b"".join(sha256(salt + b"mask" + block.to_bytes(4)).digest() for block in blocks)
    return bytes(a ^ b for a, b in zip(content, stream, strict=False))
