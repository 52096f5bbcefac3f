"""What makes two failures the same: the class, the provider's code, and the place in the user's code; only where no
place is known the message decides, without what differs from job to job.

Computed by whoever makes the error, never by a store: a store only compares. Errors that a store makes itself, and
those that bring no fingerprint, have the one of their cause. Spec: DEAD-2
"""

import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from traceback import walk_tb
from types import FrameType
from typing import Final

from aiq.model import JobError
from aiq.rules.redaction import cleared_text

MAX_MESSAGE_CHARS: Final = 500
"""What of a message is looked at: failures of one kind begin alike, and end with what was worked on."""
MAX_CODE_CHARS: Final = 64

OF_CAUSE: Final[Mapping[str, str]] = {
    "handler": f"{1:032x}",
    "timeout": f"{2:032x}",
    "stalled": f"{3:032x}",
    "upstream": f"{4:032x}",
    "child": f"{5:032x}",
    "unroutable": f"{6:032x}",
    "payload": f"{7:032x}",
    "result": f"{8:032x}",
    "rate_limited": f"{9:032x}",
    "budget": f"{10:032x}",
    "deadline": f"{11:032x}",
}
"""The fingerprint of an error that brings none, by its cause. A number, once given, stays."""

_CODES: Final = ("status_code", "code", "type")
_FOLDS: Final = (
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"""(["'`])(?=[^"'`]*\d)[^"'`\n]*\1"""), r"\1<id>\1"),
    (re.compile(r"\b0[xX][0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*\d)(?=[0-9]*[a-fA-F])[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"\d+(?:[.,:_]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)
_FOLDED: Final = re.compile("<(?:id|hex|n)>")
# From a quote that no word ends with, as in "can't", to the next one of its kind that no word begins with. One that is
# cut off, with the message, goes to the end.
_QUOTED: Final = re.compile(r"""(?<!\w)(["'`]).*?(?:\1(?!\w)|$)""")
_NAME: Final = re.compile(r"[@/\\]|\S\.\w")
"""What in a word tells that it names somebody or something: an e-mail, an address, a path, a file, a host."""
_LIBRARIES: Final = tuple(
    sorted({path for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))})
)


def of_error(error: JobError) -> str:
    """The fingerprint by which a store sorts an error."""
    return error.fingerprint or OF_CAUSE[error.cause]


def fingerprint(kind: str, code: str, place: str, pattern: str) -> str:
    """32 hex digits of what two failures have in common."""
    # NUL is in no part that a store could keep, so different parts never make the same text.
    text = f"{kind}\0{code}\0{place}\0{pattern}"
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]


def folded(message: str) -> str:
    """A message with numbers, hexadecimal, UUIDs and quoted ids in the place of what they are."""
    text = message[:MAX_MESSAGE_CHARS]
    for found, instead in _FOLDS:
        text = found.sub(instead, text)
    return text.strip()


def alike(message: str) -> str:
    """What of a message decides the group of a failure whose place is not known: folded, without what is quoted, words
    that name something, and what looks like a secret then, so that names and keys which differ make no groups of their
    own. It follows from the folded message, so that clearing never parts what folding has put together."""
    text = _FOLDED.sub("0", _QUOTED.sub("0", folded(message)))
    return cleared_text(" ".join("0" if _NAME.search(word) else word for word in text.split()))


def code_of(exc: BaseException) -> str:
    """What a provider's exception says of itself: its status, code and type, those that it has; empty for none."""
    told = (_plain(exc, name) for name in _CODES)
    return "/".join(dict.fromkeys(text for text in told if text))[:MAX_CODE_CHARS]


def place_of(exc: BaseException) -> str:
    """Where it happened, as module:function: in the deepest frame that is no library's; empty if there is none."""
    own = [frame for frame in _frames(exc) if not _is_library(frame)]
    return f"{own[-1].f_globals.get('__name__', '?')}:{_function(own[-1])}" if own else ""


def _plain(exc: BaseException, name: str) -> str:
    try:
        value = getattr(exc, name, None)
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    except Exception:  # noqa: BLE001 - a user's property may raise anything, and its failure is not the one to tell
        return ""


def _frames(exc: BaseException) -> Iterator[FrameType]:
    return (frame for frame, _ in walk_tb(exc.__traceback__))


def _is_library(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    path = frame.f_code.co_filename
    return module.partition(".")[0] == "aiq" or path.startswith("<frozen") or _is_installed(path)


def _is_installed(path: str) -> bool:
    return path.startswith(_LIBRARIES) or f"{sys.platlibdir}/python" in path or "site-packages" in path


def _function(frame: FrameType) -> str:
    return frame.f_code.co_qualname.replace("<locals>.", "")
