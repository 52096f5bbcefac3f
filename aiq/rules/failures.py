"""What is written down when a job fails. Spec: chapter 3."""

from dataclasses import replace

from aiq.bounds import MAX_ERRORS, MAX_OPAQUE_BYTES, MAX_PATTERN_BYTES
from aiq.model import Cause, JobError, JobRecord
from aiq.rules.fingerprints import of_error
from aiq.rules.validation import cut


def appended(record: JobRecord, error: JobError, now_ms: int) -> tuple[JobError, ...]:
    """The job's errors with one more: texts cut, time, fence and attempt filled in, the newest MAX_ERRORS kept.

    `record` is the job as it was while it ran, so that the attempt is the one that failed.
    """
    told = replace(
        error,
        type=cut(error.type),
        message=cut(error.message),
        traceback=cut(error.traceback),
        at_ms=now_ms,
        fence=record.fence,
        attempt=record.attempt,
        fingerprint=of_error(error),
        code=cut(error.code, MAX_OPAQUE_BYTES),
        place=cut(error.place, MAX_OPAQUE_BYTES),
        pattern=cut(error.pattern, MAX_PATTERN_BYTES),
    )
    return (*record.errors, told)[-MAX_ERRORS:]


def lease_expired(record: JobRecord) -> JobError:
    """The error of a run whose lease was revoked because its time was over."""
    return JobError(
        type="LeaseExpired",
        message=f"Worker {record.owner} did not renew the lease of {record.lease_ms} ms in time.",
        cause=Cause.STALLED,
        # Without whose lease it was: a group shows what all of its deaths have in common.
        pattern="A worker did not renew the lease in time.",
    )


def upstream_failed(upstream: JobRecord) -> JobError:
    """The error of a job that never ran, because one it depends on ended badly."""
    return JobError(
        type="UpstreamFailed",
        message=f"The dependency {upstream.id} is {upstream.state}, so this job never runs.",
        cause=Cause.UPSTREAM,
        pattern="A dependency ended badly, so this job never runs.",
    )
