"""Changing a job that has not run."""

from dataclasses import dataclass

from aiq.model.job import Band
from aiq.model.usage import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Other arguments for a job of the same task, and the estimate that goes with them."""

    task: str
    payload: bytes
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What is to be changed of one job; None stays as it is. `delay_ms` counts from the store's now; `at_ms` is an
    instant, and wins."""

    job_id: str
    band: Band | None = None
    delay_ms: int | None = None
    at_ms: int | None = None
    content: Content | None = None
