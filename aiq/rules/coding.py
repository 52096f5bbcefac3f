"""Values that codecs have changed on their way to a storage: how one is told from plain bytes, and its header.

A coded value begins with a byte that no JSON and no text in UTF-8 begins with, so that plain and coded values mix in
one storage. Then come the names of the codecs in the order in which they were applied.
"""

from collections.abc import Sequence
from typing import Final

from aiq.errors import PayloadInvalid, Unavailable

MAGIC: Final = b"\xffaq1"
MAX_TAGS_BYTES: Final = 255
"""Of the names of all codecs of a value, in one byte's worth of length."""


class Sealed(bytes):
    """A payload that codecs have been at already, on its way to a storage, which is handed plain bytes."""


class Unreadable(bytes):
    """A coded value as it is stored, and why it could not be read. `passing` says that it may be read later."""

    why: str = ""
    passing: bool = False

    @classmethod
    def of(cls, data: bytes, why: str, *, passing: bool = False) -> "Unreadable":
        """Stored bytes with the reason."""
        made = cls(data)
        made.why, made.passing = why, passing
        return made


def coded(tags: Sequence[str], body: bytes) -> bytes:
    """A value behind its header."""
    names = ",".join(tags).encode()
    return MAGIC + bytes((len(names),)) + names + body


def parted(data: bytes) -> tuple[tuple[str, ...], bytes] | None:
    """The names in the header of a coded value, and what is behind it; None for plain bytes."""
    if not data.startswith(MAGIC) or len(data) <= len(MAGIC):
        return None
    start = len(MAGIC) + 1
    end = start + data[len(MAGIC)]
    names = data[start:end].decode("ascii", "replace")
    return tuple(names.split(",")) if names else (), data[end:]


def why_unreadable(data: bytes) -> str | None:
    """Why a value cannot be read here; None for one that is plain."""
    if isinstance(data, Unreadable):
        return data.why
    found = parted(data)
    if found is None:
        return None
    return f"It is encoded with {told(found[0])}; name the codecs: Queue(url, codecs=[…]), or aiq --codecs MODULE:NAME"


def told(tags: Sequence[str]) -> str:
    """The names of codecs, for people."""
    return ", then ".join(tags) or "nothing"


def check_readable(*values: object) -> None:
    """Refuse to work on what could not be read: at once if it never will be.

    Raises:
        PayloadInvalid: codecs lack that were applied, or the bytes are not what they were.
        Unavailable: where it is kept did not answer; it may be there later.
    """
    for value in values:
        check_there(value)
        why = why_unreadable(value) if isinstance(value, bytes) else None
        if why is not None:
            raise PayloadInvalid(f"What the job works on cannot be read. {why}.")


def check_there(value: object) -> None:
    """Tell a value that cannot be had now from one that never can.

    Raises:
        Unavailable: where it is kept did not answer; it may be there later.
    """
    if isinstance(value, Unreadable) and value.passing:
        raise Unavailable(f"{value.why}.")
