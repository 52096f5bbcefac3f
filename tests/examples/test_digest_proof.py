"""How the main job judges a ledger, and how it reads a stream; without processes."""

import pytest

from aiq import Chunk, ChunkKind, Gate, State, Why
from aiq.testing.provider import Entry, Outcome
from examples.digesting.prove import LAST_MOMENT_MS, Epoch, Proof, judge, worth_killing
from examples.digesting.simulator import LIMITS
from examples.digesting.tasks import PROVIDER
from examples.digesting.watch import Picture, Row, Transcript, changes

NAMES = {"job/summary": "doc.md"}
START = Epoch(1_000, frozenset())
DEATH = Epoch(5_000, frozenset())
DEATH_AFTER_STORING = Epoch(5_000, frozenset(NAMES))


def call(started_at_ms: int, finished_at_ms: int, outcome: Outcome = Outcome.ANSWERED) -> Entry:
    return Entry(
        number=1,
        id=str(started_at_ms),
        prompt_digest="",
        model="simulated",
        stream=True,
        idempotency_key="job/summary",
        fault=None,
        tokens_in=1,
        started_at_ms=started_at_ms,
        finished_at_ms=finished_at_ms,
        outcome=outcome,
    )


def cut(started_at_ms: int, finished_at_ms: int) -> Entry:
    return call(started_at_ms, finished_at_ms, Outcome.ABANDONED)


@pytest.mark.parametrize(
    ("calls", "epochs", "verdict"),
    [
        ([call(2_000, 3_000)], [START, DEATH_AFTER_STORING], "paid once"),
        ([cut(4_000, 5_001), call(6_000, 7_000)], [START, DEATH], "cut, asked again"),
        ([call(4_000, 4_990), call(6_000, 7_000)], [START, DEATH], "answered too late"),
        ([call(2_000, 3_000), call(6_000, 7_000)], [START, DEATH], "paid twice"),
        ([call(2_000, 3_000), call(6_000, 7_000)], [START, DEATH_AFTER_STORING], "paid twice"),
        ([cut(2_000, 3_000), call(6_000, 7_000)], [START, DEATH], "asked again"),
        ([cut(500, 900), call(6_000, 7_000)], [START, DEATH], "cut, asked again"),
        ([cut(4_000, 5_001)], [START, DEATH], "not paid"),
        ([], [START, DEATH], "not paid"),
    ],
)
def test_a_call_may_be_repeated_only_if_a_kill_explains_it(
    calls: list[Entry], epochs: list[Epoch], verdict: str
) -> None:
    [account] = judge(calls, NAMES, epochs)

    assert account.verdict == verdict


def test_a_call_that_was_refused_is_not_one_that_was_paid() -> None:
    refused = call(2_000, 2_000, Outcome.REJECTED)

    [account] = judge([refused, refused, call(4_000, 4_400)], NAMES, [START, DEATH_AFTER_STORING])

    assert (account.calls, account.verdict) == (1, "paid once")


def test_an_answer_counts_as_stored_some_time_after_it_was_given() -> None:
    long_before = 5_000 - LAST_MOMENT_MS - 1

    [account] = judge([call(2_000, long_before), call(6_000, 7_000)], NAMES, [START, DEATH])

    assert account.verdict == "paid twice"


@pytest.mark.parametrize(("kills", "second_start_calls", "unchanged"), [(0, 0, True), (1, 1, True), (1, 0, False)])
def test_the_proof_fails_when_any_part_of_it_does(kills: int, second_start_calls: int, unchanged: bool) -> None:
    accounts = judge([cut(4_000, 5_001), call(6_000, 7_000)], NAMES, [START, DEATH])

    assert Proof(accounts, 1, 0, True).holds
    assert not Proof(accounts, kills, second_start_calls, unchanged).holds


def row(name: str, state: State, **facts: object) -> Row:
    return Row(name=name, job_id=name, state=state, **facts)  # type: ignore[arg-type]


def picture(*documents: Row) -> Picture:
    return Picture(row("the digest", State.WAITING), "documents", documents)


def test_a_worker_is_worth_killing_when_one_document_is_done_and_another_one_streams() -> None:
    done = row("a", State.SUCCEEDED)
    streaming = row("b", State.RUNNING, text="so far")
    silent = row("b", State.RUNNING)

    assert worth_killing(picture(done, streaming))
    assert not worth_killing(picture(done, silent))
    assert not worth_killing(picture(row("a", State.RUNNING, text="so far"), streaming))
    assert not worth_killing(picture())


def test_jobs_behind_the_first_of_a_line_wait_for_its_limit_too() -> None:
    first = row("a", State.READY, why=Why(gate=Gate.LIMIT, text="It waits."))
    second = row("b", State.READY, why=Why(gate=Gate.TURN))
    next_one = row("a", State.READY, why=Why(gate=Gate.WORKER))

    assert picture(first, second, row("c", State.RUNNING)).limited == [first, second]
    assert picture(next_one, second).limited == []


def test_jobs_that_are_held_for_their_budget_are_told_with_what_can_be_done() -> None:
    why = Why(gate=Gate.BUDGET, name="job:digest-1", text="It has $0.00 left.")
    before = picture(row("a", State.READY))
    held = picture(row("a", State.HELD, why=why), row("spawned since", State.HELD, why=why))

    assert list(changes(before, held)) == [
        "Held: a and spawned since. It has $0.00 left. With `aiq budgets grant job:digest-1 --usd 1` they go on."
    ]
    assert list(changes(held, held)) == []


def test_the_limit_of_the_queue_mirrors_those_of_the_simulator_with_less_at_once() -> None:
    mirrored = {kind: (getattr(PROVIDER, kind), PROVIDER.per) for kind in ("requests", "tokens")}
    simulated = {kind: (rate, limit.per) for limit in LIMITS for kind, rate in limit.rates.items()}

    assert mirrored == simulated
    assert all(PROVIDER.burst < limit.burst and PROVIDER.charge == limit.charge for limit in LIMITS)


def test_a_reset_cuts_the_text_of_the_lost_run_and_no_more() -> None:
    transcript = Transcript()
    for number, text in enumerate(["kept ", "lost ", "lost "], start=1):
        transcript.add(chunk(number, ChunkKind.DATA, text.encode()))
    transcript.add(chunk(4, ChunkKind.RESET, b'{"void": [[2, 3]]}'))
    transcript.add(chunk(5, ChunkKind.DATA, b"again"))

    assert (transcript.text, len(transcript), transcript.cut) == ("kept again", 2, 2)


def chunk(number: int, kind: ChunkKind, data: bytes) -> Chunk:
    return Chunk(number, kind, data, fence=1, at_ms=0)


def test_what_a_dead_worker_left_behind_is_told_in_words() -> None:
    before = picture(row("a", State.RUNNING, runs=1, text="half"), row("b", State.RUNNING, runs=1))
    freed = picture(row("a", State.READY, runs=1, stalls=1), row("b", State.READY, runs=1, stalls=1))
    resumed = picture(row("a", State.RUNNING, runs=2, stalls=1, cut=40), row("b", State.READY, runs=1, stalls=1))

    assert list(changes(before, freed)) == ["The leases of the dead worker have ended: a and b can be claimed again."]
    assert list(changes(freed, resumed)) == [
        "Resumed by another worker: a.",
        "40 tokens of lost runs are void, and cut from a.",
    ]
    assert list(changes(resumed, resumed)) == []
