"""A stored record, taken apart: a head with what nearly every job has, a map in msgpack, a digest, and small contents.

The head, with what is written in lua/_records.lua as HEAD and NAMED; a text has its length before it, in one byte:

    kind, state, lane                           1 byte each
    events, fence                               2 bytes each
    position; started, finished, expires        6 bytes each, the first of them signed
    bytes of payload and of result              3 bytes each, one more than they are
    number; created; bytes of the digest        5, 6 and 1 bytes
    lease, owner, numbers of events, settled    texts
    band; how long a lease is                   1 and 4 bytes
    task, queue                                 texts

In the place of what stands before the band, a plain job to which nothing has happened has a shorter form, FRESH: kind,
position, number of its event, bytes of payload, number, created, bytes of the digest.
"""

from struct import Struct
from typing import Any, Final

from aiq.backends.redis.fields import STATES
from aiq.model import Lane, State

INLINE_BYTES: Final = 256
"""Contents up to so many bytes stand behind the record: INLINE_BYTES of lua/_contents.lua is this number."""

_FIXED: Final = Struct(">xBBHHhIHIHIHIBHBHxxxxxHIB")
_FRESH: Final = Struct(">xHIxxxxxxBHxxxxxHIB")
_NAMED: Final = Struct(">BI")
_PLAIN: Final = 1
_IS_FRESH: Final = 2


def is_plain(text: bytes) -> bool:
    """Whether a record has nothing in its map but numbers and texts."""
    return text[0] in (_PLAIN, _IS_FRESH)


def split(text: bytes) -> tuple[dict[str, Any], bytes, bytes | None, bytes | None]:  # Any: what stands in a record
    """What a reader is told of the head, the map, and payload and result where they are small."""
    found, at, sizes = _fresh(text) if text[0] == _IS_FRESH else _whole(text)
    found["band"], found["lease_ms"] = _NAMED.unpack_from(text, at)
    found["task"], at = _text(text, at + _NAMED.size)
    found["queue"], at = _text(text, at)
    behind, result = _cut(text, len(text), sizes[1])
    behind, payload = _cut(text, behind, sizes[0])
    if sizes[2]:
        behind, digest = behind - sizes[2], text[behind - sizes[2] : behind]
        found["digest"] = digest.hex()
    return found, text[at:behind], payload, result


def _whole(text: bytes) -> tuple[dict[str, Any], int, tuple[int, int, int]]:  # Any: as above
    """What stands in a head, where the names begin, and how many bytes payload, result and digest have."""
    state, lane, events, fence, *halves = _FIXED.unpack_from(text)
    found: dict[str, Any] = {
        "state": STATES[state - 1],
        "lane": lane,
        "events": events,
        "fence": fence,
        "position": halves[0] << 32 | halves[1],
        "started_at_ms": halves[2] << 32 | halves[3] or None,
        "finished_at_ms": halves[4] << 32 | halves[5] or None,
        "expires_at_ms": halves[6] << 32 | halves[7] or None,
        "created_at_ms": halves[12] << 32 | halves[13],
    }
    found["lease_id"], at = _text(text, _FIXED.size)
    found["owner"], at = _text(text, at)
    at += 1 + text[at]
    at += 1 + text[at]
    return found, at, ((halves[8] << 16 | halves[9]) - 1, (halves[10] << 16 | halves[11]) - 1, halves[14])


def _fresh(text: bytes) -> tuple[dict[str, Any], int, tuple[int, int, int]]:  # Any: as above
    """The same of a shorter head."""
    *halves, digest = _FRESH.unpack_from(text)
    found = {
        "state": State.READY,
        "lane": Lane.FRESH,
        "events": 1,
        "fence": 0,
        "position": halves[0] << 32 | halves[1],
        "created_at_ms": halves[4] << 32 | halves[5],
    }
    return found, _FRESH.size, ((halves[2] << 16 | halves[3]) - 1, -1, digest)


def _text(text: bytes, at: int) -> tuple[str | None, int]:
    end = at + 1 + text[at]
    return text[at + 1 : end].decode() or None, end


def _cut(text: bytes, end: int, size: int) -> tuple[int, bytes | None]:
    """Contents of so many bytes before a place, and where they begin; they stand elsewhere if they are not small."""
    return (end - size, text[end - size : end]) if 0 <= size <= INLINE_BYTES else (end, None)
