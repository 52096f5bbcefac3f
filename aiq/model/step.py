"""Remembered sub-results, and waits on other jobs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class StepKind(StrEnum):
    """What a remembered step came from: a function's value, or a wait that is over."""

    VALUE = "value"
    SIGNAL = "signal"
    """`value` is the payload of the signal."""
    TIMEOUT = "timeout"
    """No signal came in time."""
    TIMER = "timer"
    CHILDREN = "children"
    """`value` names the winners, a line each in the order they ended, when fewer than all were needed."""
    CHILD_FAILED = "child_failed"
    """`value` is the id of the child whose end made the wait hopeless."""


@dataclass(frozen=True, slots=True)
class Step:
    """A remembered sub-result of a job. A wait that is over is remembered as a step under its key."""

    key: str
    kind: StepKind
    value: bytes
    digest: str = ""
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """`step` is what stands under the key: the value just saved, or the one that was first."""

    step: Step
    existed: bool
    cancel_requested: bool
    late: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """How far a wait on other jobs has come; the unit in which fan-in is counted.

    `key` is "" for the dependencies before a first run, else the key of the gather. `total` jobs are
    counted, `succeeded` and `failed` of them have ended; `need` is known once the job waits.
    """

    key: str
    total: int
    succeeded: int = 0
    failed: int = 0
    need: int | None = None
    rest: Literal["cancel", "leave"] = "cancel"
    first_failed: str | None = None

    @property
    def pending(self) -> int:
        """Jobs that have not ended."""
        return self.total - self.succeeded - self.failed
