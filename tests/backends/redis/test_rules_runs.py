"""The rules of what becomes of runs, leases, deadlines and waits in Lua, beside those in Python."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aiq import bounds
from aiq.backends.redis import wire
from aiq.model import (
    Cancelled,
    Cause,
    Deferred,
    Died,
    Held,
    HeldFor,
    JobError,
    JobRecord,
    Lease,
    Outcome,
    Released,
    Retried,
    RouteSpec,
    Sleeping,
    State,
    StepKind,
    Succeeded,
    Suspended,
    Wait,
    Waiting,
)
from aiq.rules import deadlines, failures, leases, settling, waits
from tests.backends.redis.cases import MANY, NOW, compare, first, many, maybe
from tests.backends.redis.lua import run

JOB = "setmetatable(case.job, defaults.JobRecord) "
INSTANTS = st.integers(NOW - 3, NOW + 3)
ERRORS = st.builds(
    JobError,
    type=st.text(max_size=3),
    message=st.text(max_size=3).map(lambda text: text * 3_000),
    traceback=st.text(alphabet="a\0é€😀", max_size=4).map(lambda text: text * 1_400),
    cause=st.sampled_from(Cause),
    fingerprint=st.sampled_from(["", "f" * 32]),
    code=st.text(alphabet="aé€😀", max_size=100),
    pattern=st.text(alphabet="aé€😀", max_size=3).map(lambda text: text * 130),
)
KEPT = st.lists(st.builds(JobError, type=st.text(max_size=3), message=st.just("")), max_size=bounds.MAX_ERRORS)
DELAYS = st.sampled_from([0, 1, 1_000, bounds.MAX_DELAY_MS, bounds.MAX_DELAY_MS + 1])
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Succeeded(b"")),
    st.builds(Retried, error=ERRORS, delay_ms=DELAYS),
    st.builds(Died, error=ERRORS),
    st.just(Cancelled()),
    st.builds(Released, delay_ms=DELAYS),
    st.builds(Suspended, key=st.just("k"), signal=st.just("s"), timeout_ms=maybe(DELAYS)),
    st.builds(Waiting, key=st.just("k"), need=st.none()),
    st.builds(Sleeping, key=st.just("k"), delay_ms=DELAYS),
    st.builds(Deferred, error=ERRORS, delay_ms=DELAYS, close_route=st.booleans()),
    st.builds(Held, reason=st.sampled_from(HeldFor)),
)
ROUTES = (RouteSpec(name="a"), RouteSpec(name="b"), RouteSpec(name="c"))
JOBS = st.builds(
    JobRecord,
    id=st.just("j"),
    task=st.just("t"),
    state=st.sampled_from(State),
    owner=st.just("w"),
    max_attempts=st.integers(1, 3),
    max_stalls=st.integers(1, 3),
    failures=st.integers(0, 3),
    stalls=st.integers(0, 3),
    fence=st.integers(0, 2),
    lease_id=st.sampled_from(["a", "b"]),
    expires_at_ms=maybe(INSTANTS),
    deadline_ms=maybe(INSTANTS),
    cancel_requested_at_ms=maybe(INSTANTS),
    deferred_at_ms=maybe(INSTANTS),
    max_deferral_ms=st.integers(0, 2),
    routes=st.just(ROUTES),
    route=st.integers(0, 2),
    closed_routes=st.integers(0, 7),
)


def outcome(one: Outcome) -> dict[str, Any]:
    return {"kind": type(one).__name__, **wire.said(one)}


def changed(answer: list[Any]) -> settling.Change:
    return wire.heard(settling.Change, answer[0])


@MANY
@given(many(st.tuples(JOBS, OUTCOMES), 20))
def test_a_settlement_takes_a_job_to_the_same_state(cases: list[tuple[JobRecord, Outcome]]) -> None:
    compare(
        f"return settling.after(case.outcome, {JOB}, step.now_ms)",
        [{"job": job, "outcome": outcome(one)} for job, one in cases],
        [settling.after(one, job, NOW) for job, one in cases],
        changed,
    )


@MANY
@given(many(JOBS, 20))
def test_a_revoked_run_takes_a_job_to_the_same_state(jobs: list[JobRecord]) -> None:
    cases = [{"job": job} for job in jobs]

    compare(
        f"return settling.after_expiry({JOB}, step.now_ms)",
        cases,
        [settling.after_expiry(job, NOW) for job in jobs],
        changed,
    )
    compare(
        f"return settling.after_grace({JOB}, step.now_ms)",
        cases,
        [settling.after_grace(job, NOW) for job in jobs],
        changed,
    )


@MANY
@given(many(st.tuples(maybe(JOBS), st.builds(Lease, st.just("j"), st.integers(0, 2), st.sampled_from(["a", "b"]))), 20))
def test_a_lease_is_lost_for_the_same_reason(cases: list[tuple[JobRecord | None, Lease]]) -> None:
    told = [leases.lost_or_expired(job, lease, NOW) for job, lease in cases]

    compare(
        "if case.job then setmetatable(case.job, defaults.JobRecord) end\n"
        "return leases.lost_or_expired(case.job, case.lease, step.now_ms)",
        [{"lease": lease} | ({"job": job} if job else {}) for job, lease in cases],
        [lost.reason if lost else None for lost in told],
        first,
    )


@MANY
@given(many(st.tuples(JOBS, maybe(INSTANTS), maybe(st.integers(0, 3))), 20))
def test_a_deadline_is_the_first_of_those_that_were_named(
    cases: list[tuple[JobRecord, int | None, int | None]],
) -> None:
    named = [(replace(job, expires_ms=expires_ms), parent_ms) for job, parent_ms, expires_ms in cases]

    compare(
        f"return deadlines.effective_ms({JOB}, case.parent_ms, step.now_ms)",
        [{"job": job} | ({} if parent_ms is None else {"parent_ms": parent_ms}) for job, parent_ms in named],
        [deadlines.effective_ms(job, parent_ms, NOW) for job, parent_ms in named],
        first,
    )


@MANY
@given(many(st.tuples(JOBS, KEPT, ERRORS), 10))
def test_an_error_is_written_down_as_the_same(cases: list[tuple[JobRecord, list[JobError], JobError]]) -> None:
    jobs = [replace(job, id=str(place), errors=tuple(kept)) for place, (job, kept, _) in enumerate(cases)]
    stored = [
        {"job": replace(job, errors=()), "kept": kept, "error": error}
        for job, (_, kept, error) in zip(jobs, cases, strict=True)
    ]

    compare(
        f"jobs.put_errors(case.job.id, case.kept)\nreturn failures.appended({JOB}, case.error, step.now_ms)",
        stored,
        [failures.appended(job, error, NOW) for job, (_, _, error) in zip(jobs, cases, strict=True)],
        lambda answer: tuple(wire.heard(JobError, error) for error in answer[0]),
    )


@MANY
@given(many(JOBS, 20))
def test_the_errors_that_a_store_makes_say_the_same(jobs: list[JobRecord]) -> None:
    for name, of in (
        ("deadlines.deadline_passed", deadlines.deadline_passed),
        ("failures.lease_expired", failures.lease_expired),
        ("failures.upstream_failed", failures.upstream_failed),
    ):
        compare(
            f"return {name}({JOB})",
            [{"job": job} for job in jobs],
            [of(job) for job in jobs],
            lambda answer: wire.heard(JobError, answer[0]),
        )


WAITS = st.builds(
    Wait,
    key=st.just("k"),
    total=st.integers(0, 4),
    succeeded=st.integers(0, 2),
    failed=st.integers(0, 2),
    need=maybe(st.integers(0, 4)),
    first_failed=maybe(st.just("f")),
)


@MANY
@given(many(st.tuples(WAITS, st.booleans()), 20))
def test_a_wait_is_over_at_the_same_end(cases: list[tuple[Wait, bool]]) -> None:
    compare(
        "local wait = waits.counted(setmetatable(case.wait, defaults.Wait), 'u', case.succeeded)\n"
        "return wait, waits.verdict(wait)",
        [{"wait": wait, "succeeded": succeeded} for wait, succeeded in cases],
        [[after, waits.verdict(after)] for after in (waits.counted(one, "u", succeeded=good) for one, good in cases)],
        lambda answer: [wire.heard(Wait, answer[0]), answer[1] if len(answer) > 1 else None],
    )


@MANY
@given(many(st.tuples(WAITS, st.booleans(), st.lists(st.sampled_from("abc"), max_size=3)), 20))
def test_a_wait_that_is_over_is_remembered_as_the_same(cases: list[tuple[Wait, bool, list[str]]]) -> None:
    kinds = [StepKind.CHILDREN if good else StepKind.CHILD_FAILED for _, good, _ in cases]
    steps = [waits.remembered(wait, kind, won, 7) for (wait, _, won), kind in zip(cases, kinds, strict=True)]

    compare(
        "return waits.remembered(setmetatable(case.wait, defaults.Wait), case.kind, case.winners, 7)",
        [{"wait": wait, "kind": kind, "winners": won} for (wait, _, won), kind in zip(cases, kinds, strict=True)],
        [[{"kind": one.kind, "fence": one.fence}, one.value.decode()] for one in steps],
        lambda answer: answer,
    )


TEXTS = st.text(st.sampled_from(["a", "b", "é", "\uffff", "😀"]), max_size=3)


@MANY
@given(many(st.lists(st.tuples(st.sampled_from(["", "job ", "a longer id of a job "]), TEXTS).map("".join))))
def test_texts_are_in_the_order_of_their_bytes_as_in_python(cases: list[list[str]]) -> None:
    found = run("return order.sorted(case)", cases)

    assert [texts for (texts,) in found] == [sorted(texts, key=str.encode) for texts in cases]
