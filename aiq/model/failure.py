"""A job that ended badly, as a value."""

from dataclasses import dataclass
from typing import Self

from aiq.model.job import JobRecord, State


@dataclass(frozen=True, slots=True)
class Failure:
    """What stands in the place of a result when a job ended badly and others go on regardless.

    A task that is to see it says so in its annotation: `parts: list[str | aiq.Failure]`. `state` is dead or
    cancelled; `type` and `message` are those of the job's last error, empty where none was recorded.
    """

    job_id: str
    state: State
    type: str = ""
    message: str = ""

    @classmethod
    def of(cls, record: JobRecord) -> Self:
        """What stands in the place of this job's result."""
        error = record.last_error
        return cls(record.id, record.state, error.type, error.message) if error else cls(record.id, record.state)
