"""Settlements on their way to Redis, and what became of them."""

from collections.abc import Sequence
from typing import Any, Final

from aiq.backends.redis import wire
from aiq.backends.redis.door import Answer, Blobs
from aiq.bounds import MAX_ERROR_BYTES, MAX_OPAQUE_BYTES, MAX_PATTERN_BYTES, MAX_RESULT_BYTES, MAX_SAMPLE_BYTES
from aiq.errors import LeaseLost, LostReason, TooLarge
from aiq.model import Exchanged, Lease, Outcome, Renewed, Settled, Settlement, State, Step, Succeeded
from aiq.rules.validation import check_result, cut


def told(settlements: Sequence[Settlement], blobs: Blobs) -> dict[str, Any]:  # Any: what msgpack can say
    """Settlements as the script takes them: by columns where all runs succeeded, as in nearly every call."""
    if settlements and all(_succeeds(one.outcome) for one in settlements):
        rows = [_success(one, blobs) for one in settlements]
        ids, fences, leases, names, places = zip(*rows, strict=True)
        return {"successes": (ids, fences, leases, names, places[0])}
    return {"settlements": [_told(one, blobs) for one in settlements]}


def _succeeds(outcome: Outcome) -> bool:
    """Whether it is a result that a store may keep. Another one is not sent: `oversized` stands for it."""
    return isinstance(outcome, Succeeded) and len(outcome.result) <= MAX_RESULT_BYTES


def _success(settlement: Settlement, blobs: Blobs) -> tuple[str, int, str, str, int]:
    lease, outcome = settlement.lease, settlement.outcome
    assert isinstance(outcome, Succeeded)
    return lease.job_id, lease.fence, lease.lease_id, settlement.id, blobs.add(outcome.result)


def _told(settlement: Settlement, blobs: Blobs) -> Any:  # Any: as above
    lease, outcome = settlement.lease, settlement.outcome
    if _succeeds(outcome):
        return _success(settlement, blobs)
    said = {"kind": "Succeeded", "oversized": True} if isinstance(outcome, Succeeded) else _other(outcome)
    held = {"job_id": lease.job_id, "fence": lease.fence, "lease_id": lease.lease_id}
    return {"lease": held, "id": settlement.id, "outcome": said}


def _other(outcome: Outcome) -> dict[str, Any]:
    said = {"kind": type(outcome).__name__, **wire.said(outcome)}
    if "error" in said:
        said["error"] = {name: _cut(name, value) for name, value in said["error"].items()}
    if "sample" in said:
        said["sample"] = cut(said["sample"], MAX_SAMPLE_BYTES)
    return said


_MOST: Final = {
    "type": MAX_ERROR_BYTES,
    "message": MAX_ERROR_BYTES,
    "traceback": MAX_ERROR_BYTES,
    "code": MAX_OPAQUE_BYTES,
    "place": MAX_OPAQUE_BYTES,
    "pattern": MAX_PATTERN_BYTES,
}
"""Bytes of the texts of an error. They are cut before they travel: what is no UTF-8 cannot."""


def _cut(name: str, value: Any) -> Any:  # Any: what stands in an error
    return cut(value, _MOST[name]) if name in _MOST else value


def exchanged(answer: Answer, settlements: Sequence[Settlement]) -> Exchanged:
    """What an exchange did, from the answer of its script."""
    found = answer.value
    settled = [_settled(answer, *pair) for pair in zip(found["settled"], settlements, strict=True)]
    claimed = [wire.record(answer, place) for place in found["claimed"]]
    return Exchanged(tuple(settled), tuple(claimed), found.get("next_due_ms"))


def renewed(lease: Lease, found: Any) -> Renewed | LeaseLost:  # Any: as the script says it
    """What became of one lease."""
    if isinstance(found, int):
        return Renewed(found, cancel_requested=False, paused=False)
    return _lost(lease, found) if "lost" in found else Renewed(**found)


def _lost(lease: Lease, found: dict[str, Any]) -> LeaseLost:
    return LeaseLost(lease.job_id, LostReason(found["lost"]))


_SUCCEEDED: Final = Settled(State.SUCCEEDED, late=False)


def _settled(answer: Answer, found: Any, settlement: Settlement) -> Settled | LeaseLost | TooLarge:  # Any: as above
    if found is True:
        return _SUCCEEDED
    if "lost" in found:
        return _lost(settlement.lease, found)
    if "oversized" in found:
        return _refusal(settlement)
    step = found.get("step")
    if step is not None:
        step = wire.heard(Step, {**step, "value": b""}, value=answer.blob(step["value"]) or b"")
    return Settled(State(found["state"]), found.get("late", False), step)


def _refusal(settlement: Settlement) -> TooLarge:
    assert isinstance(settlement.outcome, Succeeded)
    try:
        check_result(settlement.outcome.result)
    except TooLarge as refusal:
        return refusal
    raise AssertionError("a result within its bound was refused")
