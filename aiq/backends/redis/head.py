"""A stored record, taken apart: a head with what nearly every job has, a map in msgpack, and small contents.

The head, with what is written in lua/_records.lua as HEAD and NAMED; a text has its length before it, in one byte:

    whether the job is plain, state, lane       1 byte each
    events, fence                               2 bytes each
    position; started, finished, expires        6 bytes each, the first of them signed
    bytes of payload and of result              3 bytes each, one more than they are
    lease, owner, numbers of events, settled    texts
    band; number; created; how long a lease is  1, 5, 6 and 4 bytes
    task, queue                                 texts
"""

from struct import Struct
from typing import Any, Final

from aiq.backends.redis.fields import STATES

INLINE_BYTES: Final = 256
"""Contents up to so many bytes stand behind the record: INLINE_BYTES of lua/_contents.lua is this number."""

_FIXED: Final = Struct(">xBBHHhIHIHIHIBHBH")
_NAMED: Final = Struct(">BxxxxxHII")


def is_plain(text: bytes) -> bool:
    """Whether a record has nothing in its map but numbers and texts."""
    return text[0] == 1


def split(text: bytes) -> tuple[dict[str, Any], bytes, bytes | None, bytes | None]:  # Any: what stands in a record
    """What a reader is told of the head, the map, and payload and result where they are small."""
    found, payload_bytes, result_bytes = _fixed(text)
    found["lease_id"], at = _text(text, _FIXED.size)
    found["owner"], at = _text(text, at)
    at += 1 + text[at]
    at += 1 + text[at]
    found["band"], high, low, found["lease_ms"] = _NAMED.unpack_from(text, at)
    found["created_at_ms"] = high << 32 | low
    found["task"], at = _text(text, at + _NAMED.size)
    found["queue"], at = _text(text, at)
    behind, result = _cut(text, len(text), result_bytes)
    behind, payload = _cut(text, behind, payload_bytes)
    return found, text[at:behind], payload, result


def _fixed(text: bytes) -> tuple[dict[str, Any], int, int]:  # Any: as above
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
    }
    return found, (halves[8] << 16 | halves[9]) - 1, (halves[10] << 16 | halves[11]) - 1


def _text(text: bytes, at: int) -> tuple[str | None, int]:
    end = at + 1 + text[at]
    return text[at + 1 : end].decode() or None, end


def _cut(text: bytes, end: int, size: int) -> tuple[int, bytes | None]:
    """Contents of so many bytes before a place, and where they begin; they stand elsewhere if they are not small."""
    return (end - size, text[end - size : end]) if 0 <= size <= INLINE_BYTES else (end, None)
