"""What is written down when a job fails."""

from dataclasses import replace

from aiq.bounds import MAX_ERROR_BYTES, MAX_ERRORS
from aiq.model import Cause, JobError, JobRecord, State
from aiq.rules.failures import appended, lease_expired, upstream_failed

RUNNING = JobRecord(id="a", task="t", state=State.RUNNING, fence=7, failures=2, owner="w1", lease_ms=1_000)


def test_an_error_is_told_when_it_was_and_which_attempt_it_ended() -> None:
    (error,) = appended(RUNNING, JobError(type="ValueError", message="no"), 5)

    assert (error.at_ms, error.fence, error.attempt) == (5, 7, 3)


def test_only_the_newest_errors_are_kept() -> None:
    record = RUNNING
    for number in range(MAX_ERRORS + 2):
        record = replace(record, errors=appended(record, JobError(type="E", message=str(number)), 0))

    assert [error.message for error in record.errors] == [str(number) for number in range(2, MAX_ERRORS + 2)]


def test_long_texts_are_cut_each_by_itself() -> None:
    long = "x" * (MAX_ERROR_BYTES + 1)
    (error,) = appended(RUNNING, JobError(type=long, message=long, traceback=long), 0)

    assert [len(text) for text in (error.type, error.message, error.traceback)] == [MAX_ERROR_BYTES] * 3


def test_an_expired_lease_names_the_worker_that_was_silent() -> None:
    error = lease_expired(RUNNING)

    assert (error.type, error.cause) == ("LeaseExpired", Cause.STALLED)
    assert "w1" in error.message


def test_a_job_that_never_ran_names_what_it_depended_on() -> None:
    error = upstream_failed(replace(RUNNING, state=State.CANCELLED))

    assert (error.type, error.cause) == ("UpstreamFailed", Cause.UPSTREAM)
    assert "dependency a is cancelled" in error.message


def test_what_a_store_says_of_a_death_names_no_job_in_what_its_group_shows() -> None:
    record = JobRecord(id="8f21", task="work", payload=b"", digest="", owner="worker 7", state=State.DEAD)

    for error in (lease_expired(record), upstream_failed(record)):
        assert error.pattern
        assert "8f21" not in error.pattern
        assert "7" not in error.pattern
