"""Ids of jobs: ordered by time where they are new, derived where a repeat must find the same job again.

No decision is taken by an id's time; it only keeps neighbours in time together in an index. An import makes hundreds
of jobs in a ms: ordered by that alone they were strewn over the pages of every table that is found by job, and a batch
of them wrote as many pages as it had jobs.
"""

import hashlib
from typing import Final

_MS: Final = 1_000_000
"""One ms in ns."""


def new_id(now_ns: int, entropy: bytes) -> str:
    """32 hex digits: 12 of the ms, 5 of the part of it that has passed, and 15 of `entropy`, of which 8 bytes must be
    random.

    Source: RFC 9562, UUID version 7, method 3: the clock's precision in the place of the first random bits.
    """
    now_ms, rest_ns = divmod(now_ns, _MS)
    return f"{now_ms:012x}{(rest_ns << 20) // _MS:05x}{entropy[:8].hex()[1:]}"


def child_id(parent_id: str, key: str, index: int) -> str:
    """The id of the child number `index` that a run spawns under a wait key. A later run spawns the same, also in
    another generation: what its children have done is not done again. FAN-5, DEAD-16."""
    return _derived(parent_id, key, str(index))


def node_id(flow_id: str, index: int) -> str:
    """The id of the job at place `index` of a flow, so that starting the same flow again starts nothing twice."""
    return _derived(flow_id, str(index))


def opener_id(flow_id: str) -> str:
    """The id of the job that opens a flow which one step cannot hold. FLOW-17"""
    return _derived("opener", flow_id)


def replay_id(origin: str, replay: str) -> str:
    """The id of the job that a replay makes of another, so that the same replay makes it once. REPLAY-1"""
    return _derived("replay", origin, replay)


def _derived(*parts: str) -> str:
    # NUL is in no part, so different parts never make the same text.
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
