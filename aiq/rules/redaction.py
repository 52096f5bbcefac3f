"""What of a job's arguments may be kept with a group of failures: a text, cut, without secrets. Spec: DEAD-6

Done by the worker, before anything leaves it. What looks like a secret goes; what is left is for a person to read, so
nothing here has to be exact but that.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from aiq.bounds import MAX_SAMPLE_BYTES

HIDDEN: Final = "[redacted]"
_SECRET: Final = re.compile(
    r"pass(?:word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|credential|cookie",
    re.IGNORECASE,
)
_NO_SECRETS: Final = re.compile(r"(?:max|min|num|total|input|output|prompt|completion)?_?tokens\Z", re.IGNORECASE)
"""Counts of tokens are what jobs of this trade are full of."""
_PATTERNS: Final = (
    re.compile(r"-----BEGIN [A-Z ]+-----(?:.|\n)*?(?:-----END [A-Z ]+-----|\Z)"),
    re.compile(r"\bey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"\b(?:sk|pk|rk|ghp|gho|ghs|xox[abprs]|AKIA)[-_]?[A-Za-z0-9_-]{12,}"),
    re.compile(r"(?i:\b(?:bearer|basic)) +[A-Za-z0-9._~+/=-]{8,}"),
)
_NAMED: Final = re.compile(
    r"(?i:(pass(?:word|wd|phrase)?|secret|token|api[_ -]?key|authorization|credential)s?)([\"']?\s*[:=]\s*[\"']?|\s+)"
    r"([A-Za-z0-9._~+/=-]{16,})"
)
_DEEPEST: Final = 32
"""Arguments that are nested deeper are not looked into, and not shown."""


def sample_of(payload: bytes) -> str:
    """The arguments of a job as text without secrets, at most MAX_SAMPLE_BYTES."""
    try:
        text = msgspec.json.encode(_cleared(msgspec.json.decode(payload), _DEEPEST)).decode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        text = cleared_text(payload.decode(errors="replace"))
    return text.encode(errors="replace")[:MAX_SAMPLE_BYTES].decode(errors="ignore")


def cleared_text(text: str) -> str:
    """A text without what looks like a secret."""
    for pattern in _PATTERNS:
        text = pattern.sub(HIDDEN, text)
    return _NAMED.sub(rf"\1\2{HIDDEN}", text)


def _cleared(value: object, depth: int) -> object:
    if isinstance(value, str):
        return cleared_text(value)
    if not isinstance(value, list | Mapping):
        return value
    if not depth:
        return HIDDEN
    if isinstance(value, list):
        return [_cleared(one, depth - 1) for one in value]
    return {name: HIDDEN if _is_secret(name) else _cleared(one, depth - 1) for name, one in value.items()}


def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None and _NO_SECRETS.search(name) is None
