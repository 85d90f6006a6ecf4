"""The sealed answers: a commitment that goes into git before anybody answers, and the answers,
masked.

commitment = sha256(salt + canonical JSON of the answers). The answers lie beside it, masked with a
keystream that comes from the salt: that hides them from a glance and from a search, not from
somebody who writes five lines to unmask them."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path

from exercise.paths import DRAW, BlindError

SALT_BYTES = 32
ABOUT = (
    "The sealed answers of one round of blind diagnosis. Commit this file before you write your diagnoses and leave it "
    "as it is; see docs/blind.md."
)


@dataclass(frozen=True)
class Answer:
    """What is behind one page. page, record: their sha256; name: the record's file."""

    cause: str
    page: str
    record: str
    name: str


@dataclass(frozen=True)
class Answers:
    """The seed of all the runs, and what each is. Every permutation of the causes has a JSON of the
    same length."""

    seed: int
    runs: Mapping[str, Answer]

    def canonical(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Seal:
    """What seal.json holds. revealed: the hash of the diagnoses that were scored, "" before
    that."""

    commitment: str
    salt: str
    answers: str
    revealed: str = ""

    def open(self, path: Path) -> Answers:
        """The answers. Raises BlindError, which names the seal's path, when they are not what was
        committed to."""
        try:
            salt, masked = bytes.fromhex(self.salt), bytes.fromhex(self.answers)
            content = _mask(masked, salt)
            if sha256(salt + content).hexdigest() != self.commitment:
                raise ValueError("salt and answers do not give the commitment")
            tree = json.loads(content)
            return Answers(
                tree["seed"], {run: Answer(**answer) for run, answer in tree["runs"].items()}
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BlindError(
                f"{path} was changed after the round was drawn: {error}; {_RESTORE}"
            ) from error


_RESTORE = f"put it back with `git checkout -- seal.json` in its folder, or remove it and draw again with `{DRAW}`"


def close(answers: Answers) -> Seal:
    """Seal the answers under a fresh salt."""
    salt, content = secrets.token_bytes(SALT_BYTES), answers.canonical()
    return Seal(sha256(salt + content).hexdigest(), salt.hex(), _mask(content, salt).hex())


def read(path: Path) -> Seal:
    """The seal of a round. Raises BlindError when there is none or it is not one."""
    try:
        tree = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BlindError(
            f"there is no {path}, so no round to reveal; draw one with `{DRAW}`"
        ) from None
    except ValueError as error:
        raise BlindError(f"{path} is not JSON any more ({error}); {_RESTORE}") from error
    wanted = [field.name for field in fields(Seal)]
    if not isinstance(tree, dict) or not all(isinstance(tree.get(name), str) for name in wanted):
        raise BlindError(
            f"{path} is no seal: it must hold the strings {', '.join(wanted)}; {_RESTORE}"
        )
    return Seal(**{name: tree[name] for name in wanted})


def write(seal: Seal, path: Path) -> None:
    """Put the seal in its place in one go: half a seal would be a round lost."""
    draft = path.with_suffix(".draft")
    draft.write_text(
        json.dumps({"about": ABOUT, **asdict(seal)}, indent=1) + "\n",
        encoding="utf-8",
        newline="\n",
    )
    os.replace(draft, path)


def _mask(content: bytes, salt: bytes) -> bytes:
    """XOR with sha256(salt, 0), sha256(salt, 1), ...: its own inverse."""
    blocks = range(len(content) // sha256().digest_size + 1)
    stream = b"".join(sha256(salt + b"mask" + block.to_bytes(4)).digest() for block in blocks)
    return bytes(a ^ b for a, b in zip(content, stream, strict=False))
