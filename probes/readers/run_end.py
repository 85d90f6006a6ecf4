"""Finds the sentences in a printed log which say that the run died or was resumed."""

from __future__ import annotations

import re

from probes.common.text import one_line
from probes.readers.base import Ended
from probes.record import CRASHED, NON_FINITE

MAX_SENTENCE_LENGTH = 200
"""The sentence is kept up to this many characters."""
_NON_FINITE_WORD = r"(?:nans?|inf|infinite|infinity|non-?finite|not[ ]finite)"
_NON_FINITE_END = re.compile(
    rf"""
      \b(?:loss|grad\w*|norm|metric|cost)\b [^|{{}}]{{0,60}}?
          \b(?:is|was|are|became|becomes|has[ ]become|turned|went)[ ](?:\w+[ ]or[ ])?
          {_NON_FINITE_WORD}\b
    | \b{_NON_FINITE_WORD}[ ](?:(?:or|and/or)[ ]\w+[ ])?(?:train\w*[ ])?loss\b
    | \b{_NON_FINITE_WORD}(?:[ ](?:or|and/or)[ ]\w+)?(?:[ ]values?)?[ ]
          (?:was[ ]|were[ ])?(?:detected|found|encountered)
    | \b(?:detected|found|encountered)[ ](?:\w+[ ])?{_NON_FINITE_WORD}\b
    | \b(?:returned|had|has|contains?)[ ](?:\w+[ ]or[ ])?{_NON_FINITE_WORD}\b
    | \bdiverged[ ]with[ ]loss\b
    | \bnanloss\w*error\b
    | \binvalid[ ]loss,[ ]terminating
    | \bminimum[ ]loss[ ]scale[ ]reached
    | \bloss[ ]scale[ ](?:is[ ])?already[ ]at[ ](?:its[ ]|the[ ])?minimum
    """,
    re.VERBOSE,
)
_GOES_ON = re.compile(r"\bskip|\bignor|\boverflow|\breplac|\bimprov")
"""Words of a sentence about a batch or an evaluation after which the run goes on."""
_CRASH = re.compile(
    r"out of memory|OutOfMemoryError|can't allocate memory|oom-kill|\bCUDA error\b"
    r"|^Traceback \(most recent call last\)|\bKilled\b|DUE TO TIME LIMIT|\bSegmentation fault"
    r"|\bcore dumped\b|\bBus error\b|\bKeyboardInterrupt\b|\bSIGKILL\b|\bSIGTERM\b"
    r"|\bChildFailedError\b"
)
_RESUME = re.compile(
    r"\bresum(?:ing|ed|e)[ ](?:\w+[ ]){0,3}?(?:from|at|training|run|checkpoint|epoch|step)\b"
    r"|\b(?:load(?:ed|ing)?|restor(?:ed|ing|e))[ ](?:\w+[ ]){0,3}?checkpoint\b"
)
_STEP = re.compile(r"\b(?:iteration|iter|step|update)s?\b\W{0,3}(\d{1,18})(?![\w.]*\w)", re.I)
HINTS = (
    "nan", "infin", " inf ", "finite", "invalid loss", "loss scale", "memory", "oom-kill",
    "cuda error", "traceback", "killed", "time limit", "fault", "dumped", "bus error", "interrupt",
    "sigkill", "sigterm", "childfailed", "diverged",
)  # fmt: skip
"""A line that says that the run died has one of these words, in lower case. Looking for them
is faster than a regular expression."""


def run_end(line: str) -> Ended | None:
    """What a line says about the end of the run; None if it does not say that the run died."""
    text = line.lower()
    if not any(hint in text for hint in HINTS):
        return None
    sentence = one_line(line, MAX_SENTENCE_LENGTH)
    if _NON_FINITE_END.search(text) and not _GOES_ON.search(text):
        step = _STEP.search(line)
        return Ended(NON_FINITE, int(step[1]) if step else None, sentence)
    return Ended(CRASHED, None, sentence) if _CRASH.search(line) else None


def is_resume(line: str) -> bool:
    """Whether a line says that the program goes on with an earlier run."""
    text = line.lower()
    return ("resum" in text or "checkpoint" in text) and bool(_RESUME.search(text))
