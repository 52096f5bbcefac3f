"""Ids of jobs: ordered by time where they are new, derived where a repeat must find the same job again.

No decision is taken by an id's time; it only keeps neighbours in time together in an index.
"""

import hashlib


def new_id(now_ms: int, entropy: bytes) -> str:
    """32 hex digits: 12 of the time and 20 of `entropy`, of which 10 bytes must be random."""
    return f"{now_ms:012x}{entropy[:10].hex()}"


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
