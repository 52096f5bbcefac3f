"""The sentence that says why a job does not run."""

from dataclasses import replace

import pytest
from msgspec import structs

from aiq.bounds import MAX_INSTANT_MS, MAX_PAGE
from aiq.model import (
    BudgetSpec,
    Cause,
    Estimate,
    Gate,
    HeldFor,
    JobError,
    JobRecord,
    LimitSpec,
    QueueSettings,
    State,
    Why,
)
from aiq.rules.books import Line, Pool
from aiq.rules.explaining import Aside, Facts, why
from aiq.rules.limits import of_queue, opening
from tests.rules.ledger import Ledger, full, tokens

HOUR_MS = 3_600_000


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.put(tokens(6_000, requests=60), LimitSpec(name="gpu", concurrency=2))
    full(ledger, "gpt")
    return ledger


def job(state: State = State.READY, **fields: object) -> JobRecord:
    return JobRecord(id="job", task="t", state=state, **fields)  # type: ignore[arg-type]


def explained(ledger: Ledger, record: JobRecord, **facts: object) -> Why:
    return why(ledger, Facts(record=record, **facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "gate", "text", "opens_in_ms"),
    [
        (job(State.DEAD), Gate.NOTHING, "It is dead.", None),
        (job(State.RUNNING, owner="w"), Gate.NOTHING, 'It runs on worker "w".', None),
        (job(State.SCHEDULED, due_ms=1_000_700), Gate.TIME, "It waits for its time.", 700),
        (job(State.SCHEDULED, due_ms=5), Gate.TIME, "It waits for its time.", 0),
        (job(State.WAITING, pending=1, wait_key="k"), Gate.CHILDREN, "It waits for 1 child.", None),
        (job(State.HELD, held=HeldFor.OPERATOR), Gate.OPERATOR, "It is held by hand. Let it go with `unhold`.", None),
        (job(), Gate.WORKER, "It is next, and no worker has asked for it.", None),
    ],
    ids=lambda value: value.value if isinstance(value, Gate) else "",
)
def test_a_gate_that_needs_no_more_than_the_record(
    ledger: Ledger, record: JobRecord, gate: Gate, text: str, opens_in_ms: int | None
) -> None:
    found = explained(ledger, record)

    assert (found.gate, found.text, found.opens_in_ms) == (gate, text, opens_in_ms)


def test_a_limit_is_told_with_its_figures_and_the_time_at_which_its_pool_may_open(ledger: Ledger) -> None:
    run = ledger.start("run", limits=("gpt",), estimate=Estimate(input=4_000, max_output=1_500))
    pool = Pool(queue="default", name="gpt|", wake_at_ms=ledger.now_ms + 900, parked_by="gpt")
    ledger.states["gpt", ""] = structs.replace(ledger.left("gpt"), frozen_until_ms=ledger.now_ms + 1_200)

    found = explained(ledger, job(limits=("gpt",)), pool=pool)

    assert (found.gate, found.name, found.opens_in_ms) == (Gate.LIMIT, "gpt", 900)
    assert found.text == (
        'It waits for limit "gpt". It is paused for 1,200 ms; 59 of 60 requests are left; '
        "2,000 of 6,000 tokens are left, 1,500 of them held. Nothing was declared, so 2,000 tokens are assumed."
    )
    assert run.state is State.RUNNING


def test_a_limit_that_opens_only_when_somebody_gives_back_has_no_time(ledger: Ledger) -> None:
    ledger.start("a", limits=("gpu",))
    ledger.start("b", limits=("gpu",))
    pool = Pool(queue="default", name="gpu|", wake_at_ms=MAX_INSTANT_MS, parked_by="gpu")

    found = explained(ledger, job(limits=("gpu",)), pool=pool)

    assert (found.text, found.opens_in_ms) == ('It waits for limit "gpu". 2 of 2 units are taken.', None)


@pytest.mark.parametrize(
    ("estimate", "assumed"),
    [
        (None, " Nothing was declared, so 2,000 tokens are assumed."),
        (Estimate(model="m"), " Nothing was declared, so 2,000 tokens are assumed."),
        (Estimate(max_output=70), " Not all was declared, so 1,070 tokens are assumed."),
        (Estimate(input=900), ""),
    ],
)
def test_what_is_assumed_of_a_job_is_told_where_tokens_are_lacking(
    ledger: Ledger, estimate: Estimate | None, assumed: str
) -> None:
    ledger.states["gpt", ""] = structs.replace(ledger.left("gpt"), tokens=0)

    found = explained(ledger, job(limits=("gpt",), estimate=estimate))

    assert found.text == ('It waits for limit "gpt". 60 of 60 requests are left; 0 of 6,000 tokens are left.' + assumed)


def test_a_debt_is_told_with_the_time_that_pays_it_back(ledger: Ledger) -> None:
    sub = 10_000
    ledger.states["gpt", ""] = structs.replace(ledger.left("gpt"), tokens=-1_200 * sub, held=50 * sub)

    found = explained(ledger, job(limits=("gpt",), estimate=Estimate(input=100, max_output=0)))

    assert found.text == (
        'It waits for limit "gpt". 60 of 60 requests are left; 1,200 tokens are owed, 50 held; '
        "the debt is paid back in 12,000 ms."
    )


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (QueueSettings(rate=1, rate_per_ms=10_000), 'Queue "default" starts 1 job in 10 s.'),
        (QueueSettings(rate=50), 'Queue "default" starts 50 jobs in 1 s.'),
        (QueueSettings(concurrency=2), 'Queue "default" runs 2 jobs at once, and 2 run.'),
        (
            QueueSettings(concurrency=1, rate=5, rate_per_ms=2_000),
            'Queue "default" starts 5 jobs in 2 s, and runs 1 job at once, and 2 run.',
        ),
    ],
)
def test_what_bounds_a_queue_is_told_as_its_own(ledger: Ledger, settings: QueueSettings, text: str) -> None:
    spec = of_queue("default", settings)
    assert spec is not None
    ledger.put(spec)
    ledger.states[spec.name, ""] = structs.replace(opening(spec, ledger.now_ms), requests=0, running=2)

    found = explained(ledger, job())

    assert (found.gate, found.name, found.text) == (Gate.LIMIT, "queue:default", text)


def test_a_job_that_was_given_back_for_a_rate_limit_names_the_limits_that_are_paused(ledger: Ledger) -> None:
    error = JobError(type="RateLimited", message="429", cause=Cause.RATE_LIMITED)
    given_back = job(State.SCHEDULED, limits=("gpu", "gpt"), errors=(error,), due_ms=ledger.now_ms + 2_100)
    assert explained(ledger, given_back) == Why(
        gate=Gate.TIME,
        text="Its provider had no room, so it was given back. It waits for its time.",
        opens_in_ms=2_100,
    )
    for name, frozen_ms in (("gpt", 1_999), ("gpu", 1_000)):
        state = opening(ledger.limits[name], ledger.now_ms)
        ledger.states[name, ""] = structs.replace(state, frozen_until_ms=ledger.now_ms + frozen_ms)

    assert explained(ledger, given_back) == Why(
        gate=Gate.LIMIT,
        name="gpt",
        text="Its provider had no room, so it was given back. "
        'Limit "gpt" is paused for 1,999 ms. Limit "gpu" is paused for 1,000 ms.',
        opens_in_ms=2_100,
    )


def test_one_of_a_thing_is_told_as_one(ledger: Ledger) -> None:
    ledger.put(LimitSpec(name="one", concurrency=1, tokens=1), BudgetSpec(id="b", caps={"tokens": 1}))
    ledger.states["one", ""] = structs.replace(opening(ledger.limits["one"], ledger.now_ms), tokens=0, running=1)

    found = explained(ledger, job(limits=("one",), estimate=Estimate(input=1, max_output=0)))
    assert found.text == 'It waits for limit "one". 0 of 1 token are left; 1 of 1 unit is taken.'
    held = job(State.HELD, held=HeldFor.BUDGET, held_by="b")
    assert explained(ledger, held, need={"tokens": 1}).text == (
        'Budget "b" has 1 token left of 1 token, and 1 token is needed.'
    )


def test_a_limit_that_has_not_been_asked_yet_is_named_too_and_nothing_is_written(ledger: Ledger) -> None:
    ledger.states["gpt", ""] = structs.replace(ledger.left("gpt"), tokens=0)
    before = dict(ledger.states)
    ledger.now_ms += 100

    found = explained(ledger, job(limits=("gpt",), estimate=Estimate(input=110, max_output=0)))

    assert (found.gate, found.name, found.opens_in_ms) == (Gate.LIMIT, "gpt", 1_000)
    assert ledger.states == before


def test_the_tenant_and_the_key_of_a_limit_are_named(ledger: Ledger) -> None:
    ledger.put(LimitSpec(name="each", concurrency=1, by="tenant"), LimitSpec(name="one", concurrency=1, by="key"))
    record = job(limits=("each", "one"), tenant="a", key="k")
    line = Line(pool="~", band=record.band, tenant="a", digest="", wake_at_ms=MAX_INSTANT_MS, parked_by="each")

    assert explained(ledger, record, line=line).text.startswith("It waits for limit \"each\" of tenant 'a'.")
    found = explained(ledger, record, line=line, aside=Aside(limit="one", key="k", wake_at_ms=MAX_INSTANT_MS))
    assert found.gate is Gate.KEY
    assert found.text.startswith("It waits for limit \"one\" of key 'k'.")


def test_what_stands_aside_until_a_time_that_has_come_is_no_gate(ledger: Ledger) -> None:
    pool = Pool(queue="default", name="gpt|", wake_at_ms=ledger.now_ms, parked_by="gpt")

    assert explained(ledger, job(), pool=pool).gate is Gate.WORKER


def test_a_paused_queue_comes_before_everything_else(ledger: Ledger) -> None:
    pool = Pool(queue="default", name="gpt|", wake_at_ms=MAX_INSTANT_MS, parked_by="gpt")

    assert explained(ledger, job(), paused=True, pool=pool, before=3).text == 'Queue "default" is paused.'


@pytest.mark.parametrize(
    ("facts", "gate", "text"),
    [
        ({"before": 1, "urgent": 2, "others": 3}, Gate.TURN, "1 job goes before it in its line."),
        ({"before": 2}, Gate.TURN, "2 jobs go before it in its line."),
        ({"before": MAX_PAGE}, Gate.TURN, "At least 256 jobs go before it in its line."),
        ({"urgent": 2, "others": 3}, Gate.BAND, "2 jobs of more urgent bands stand ready in its queue."),
        ({"others": 1}, Gate.TENANT, "1 other tenant had less of their share so far."),
    ],
)
def test_a_job_whose_turn_has_not_come_is_told_who_goes_first(
    ledger: Ledger, facts: dict[str, int], gate: Gate, text: str
) -> None:
    found = explained(ledger, job(), **facts)

    assert (found.gate, found.text) == (gate, text)


def test_a_budget_is_told_with_its_figures_and_the_end_of_its_window(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="tenant:a", caps={"usd_micros": 1_500_000}, window="day"))
    ledger.now_ms = 23 * HOUR_MS
    held = job(State.HELD, held=HeldFor.BUDGET, held_by="tenant:a")

    found = explained(ledger, held, need={"usd_micros": 2_000_010})

    assert (found.gate, found.name, found.opens_in_ms) == (Gate.BUDGET, "tenant:a", HOUR_MS)
    assert found.text == 'Budget "tenant:a" has $1.50 left of $1.50, and $2.00001 are needed.'
    approval = explained(ledger, replace(held, held=HeldFor.APPROVAL), need={"usd_micros": 2_000_010})
    assert (approval.opens_in_ms, approval.text.endswith("It needs a grant.")) == (None, True)


def test_a_call_that_waits_is_told_with_its_limit(ledger: Ledger) -> None:
    run = ledger.start("run")
    ledger.states["gpt", ""] = structs.replace(ledger.left("gpt"), tokens=0)
    ledger.call(run, 1, "gpt", input=100, max_output=0)

    found = explained(ledger, run, calls=list(ledger.calls.values()))

    assert (found.gate, found.name, found.opens_in_ms) == (Gate.CALL, "gpt", 1_000)
    assert found.text.startswith('Its call 1 waits for limit "gpt". 60 of 60 requests are left; 0 of 6,000 tokens')
    ledger.now_ms += 1_000
    assert explained(ledger, run, calls=list(ledger.calls.values())).opens_in_ms == 0
