"""Limits in Redis: each operation one call of the script of its name."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiq.backends.redis.door import Door
from aiq.backends.redis.wire import heard, said
from aiq.bounds import MAX_BATCH, MAX_PAGE
from aiq.errors import LeaseLost, LostReason, UnknownLimit
from aiq.model import (
    Acquired,
    Admitted,
    CallRequest,
    Exceeded,
    LimitSpec,
    LimitStatus,
    MustWait,
    OnExceeded,
    Refused,
    Report,
    Reported,
    Throttle,
)
from aiq.rules import checks
from aiq.rules.limits import check_limit
from aiq.rules.validation import check_calls, check_reports, check_throttles


class LimitsFace(Door):
    """See `aiq.storage.Limits`."""

    async def put_limits(self, limits: Sequence[LimitSpec], *, absent_only: bool = False) -> list[LimitSpec]:
        """See `aiq.storage.Limits`."""
        checks.check_count("list of limits", len(limits), MAX_BATCH)
        for spec in limits:
            check_limit(spec)
        args = {"limits": said(limits), "absent_only": absent_only, "looked": dict[str, bool]()}
        told = (await self._step("put_limits", args)).value
        while "limits" not in told:
            if "busy" in told:
                await self._reshape(told["busy"])
            else:
                await self._look(next(spec for spec in reversed(limits) if spec.name == told["look"]))
                args["looked"] = {**args["looked"], told["look"]: True}
            told = (await self._step("put_limits", args)).value
        for name in told["large"]:
            await self._reshape(name)
        return [heard(LimitSpec, spec) for spec in told["limits"]]

    async def _look(self, spec: LimitSpec) -> None:
        """Refuse new numbers in which not every part of a limit could be counted."""
        after: str | None = ""
        while after is not None:
            after = (await self._step("reshape", {"spec": said(spec), "after": after})).value

    async def _reshape(self, name: str) -> None:
        """Let all parts of a limit follow its new numbers. Upkeep goes on with it if this ends before."""
        while (await self._step("reshape", {"name": name})).value:
            pass

    async def get_limits(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[LimitStatus]:
        """See `aiq.storage.Limits`."""
        checks.check_limit(limit)
        checks.check_count("list of limits", len(names), MAX_PAGE)
        answer = await self._step("get_limits", {"names": list(names), "after": after, "limit": limit})
        return [heard(LimitStatus, status) for status in answer.value]

    async def acquire(self, calls: Sequence[CallRequest]) -> list[Acquired]:
        """See `aiq.storage.Limits`."""
        check_calls(calls)
        answer = await self._step("acquire", {"calls": said(calls)})
        return [_acquired(call, told) for call, told in zip(calls, answer.value, strict=True)]

    async def report(self, reports: Sequence[Report]) -> list[Reported | LeaseLost]:
        """See `aiq.storage.Limits`."""
        check_reports(reports)
        answer = await self._step("report", {"reports": said(reports)})
        return [_reported(report, told) for report, told in zip(reports, answer.value, strict=True)]

    async def throttled(self, throttles: Sequence[Throttle]) -> None:
        """See `aiq.storage.Limits`."""
        check_throttles(throttles)
        await self._step("throttled", {"throttles": said(throttles)})


def _acquired(call: CallRequest, told: Mapping[str, Any]) -> Acquired:  # Any: the fields of an answer of each class
    match told["is"]:
        case "LeaseLost":
            return LeaseLost(call.lease.job_id, LostReason(told["reason"]))
        case "Admitted":
            return Admitted(max_output=told.get("max_output"))
        case "MustWait":
            return MustWait(limit=told["limit"], key=told["key"], wait_ms=told.get("wait_ms"))
        case "Exceeded":
            need = dict(told["need"])
            return Exceeded(
                budget=told["budget"], on_exceeded=OnExceeded(told["on_exceeded"]), need=need, text=told["text"]
            )
        case _:
            text = told.get("text") or str(UnknownLimit(told["name"], told["known"]))
            return Refused(kind=told["kind"], text=text)


def _reported(report: Report, told: Mapping[str, Any]) -> Reported | LeaseLost:  # Any: as above
    if "lost" in told:
        return LeaseLost(report.lease.job_id, LostReason(told["lost"]))
    return heard(Reported, told)
