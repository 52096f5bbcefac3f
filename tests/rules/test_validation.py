"""Every bound is tried at its edge: the last value that passes, and the first that does not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from aiq import bounds
from aiq.errors import FlowInvalid, InvalidInput, InvalidName, TooLarge
from aiq.model import (
    Append,
    BudgetSpec,
    CallRequest,
    CallState,
    ChunkKind,
    ClaimRequest,
    Deferred,
    Estimate,
    Held,
    HeldFor,
    JobError,
    JobSpec,
    Lease,
    NewChunk,
    QueueSettings,
    Remaining,
    Report,
    RouteSpec,
    Settlement,
    Sleeping,
    Step,
    StepKind,
    Succeeded,
    Suspended,
    Throttle,
    Usage,
    Waiting,
    Want,
)
from aiq.rules import validation as v

SPEC = JobSpec(id="a", task="t")
LEASE = Lease("parent", 1, "l")
OPAQUE = "é" * (bounds.MAX_OPAQUE_BYTES // 2)
NAMES = tuple(f"l{number}" for number in range(bounds.MAX_LIMITS + 1))
CALL = CallRequest(lease=LEASE, number=1)
REPORT = Report(lease=LEASE, call=0, state=CallState.OPEN)
WIDE = Usage(**{f"c{number}": 1 for number in range(bounds.MAX_CATEGORIES + 1)})
PAUSE = Throttle(limit="l")
FULL = NewChunk(1, b"x" * bounds.MAX_CHUNK_BYTES, ChunkKind.LOG, "step")


def check_chunks(chunks: Sequence[NewChunk]) -> None:
    v.check_appends([Append(LEASE, chunks)])


@pytest.mark.parametrize("name", ["a", "0", "A-b_c.d", "x" * 128])
def test_a_name_of_the_alphabet_passes(name: str) -> None:
    v.check_name("queue", name)


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a b", "a\n", "a:b", "é", "{a}", "x" * 129, "a\0"])
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="queue"):
        v.check_name("queue", name)


@pytest.mark.parametrize("name", [None, 7, b"a"])
def test_what_is_no_text_is_no_name(name: object) -> None:
    with pytest.raises(InvalidName):
        v.check_name("queue", name)
    with pytest.raises(InvalidName):
        v.check_step_name(name)


@pytest.mark.parametrize("name", ["a", " ", "page 1", "Übersicht/§1: «x»", "#", "2#", "a#2b", "a#٢", "é" * 100])
def test_the_name_of_a_step_is_any_text_of_200_bytes(name: str) -> None:
    v.check_step_name(name)


@pytest.mark.parametrize("name", ["", "a\n", "\ta", "a\0b", "\x1b[2J", "\x7f", "\x85", "\ud800", "é" * 100 + "x"])
def test_a_name_of_a_step_that_cannot_be_shown_or_kept_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="1 to 200 bytes in UTF-8, without control characters"):
        v.check_step_name(name)


@pytest.mark.parametrize("name", ["a#2", "page #10", "#1", "a##0"])
def test_a_name_of_a_step_that_ends_like_an_ordinal_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="Its end means a name that is used again: name#2"):
        v.check_step_name(name)


def test_the_longest_name_of_a_step_has_room_for_the_ordinal_of_its_last_use() -> None:
    v.check_step(Step("é" * (bounds.MAX_STEP_NAME_BYTES // 2) + f"#{bounds.MAX_STEPS}", StepKind.VALUE, b""))


@pytest.mark.parametrize("text", ["a", " ", "{}:*\n", OPAQUE])
def test_an_opaque_text_is_any_text_of_256_bytes(text: str) -> None:
    v.check_opaque("key", text)


@pytest.mark.parametrize(("text", "error"), [("", InvalidInput), ("\0", InvalidInput), ("\ud800", InvalidInput)])
def test_an_opaque_text_that_some_store_could_not_keep_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="key"):
        v.check_opaque("key", text)


@pytest.mark.parametrize("value", [7, b"a", None])
def test_what_is_no_text_is_refused_with_what_to_pass(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"^The job id is .*; pass a text, for instance str\(…\) of it"):
        v.check_opaque("job id", value)


@pytest.mark.parametrize("value", ["3", 2.5, None])
def test_what_is_no_whole_number_is_refused_with_what_to_pass(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"^The number of slots is .*; pass a whole number from 1 to 10,000"):
        v.check_range("number of slots", value, 1, 10_000)


def test_an_opaque_text_is_measured_in_bytes() -> None:
    with pytest.raises(TooLarge):
        v.check_opaque("key", OPAQUE + "x")


SMALL_AND_LARGE: list[tuple[str, Any, Any]] = [
    ("band", 0, -1),
    ("band", 3, 4),
    ("delay_ms", 0, -1),
    ("delay_ms", bounds.MAX_DELAY_MS, bounds.MAX_DELAY_MS + 1),
    ("at_ms", 0, -1),
    ("at_ms", bounds.MAX_INSTANT_MS, bounds.MAX_INSTANT_MS + 1),
    ("deadline_ms", bounds.MAX_INSTANT_MS, bounds.MAX_INSTANT_MS + 1),
    ("lease_ms", bounds.MIN_LEASE_MS, bounds.MIN_LEASE_MS - 1),
    ("lease_ms", bounds.MAX_LEASE_MS, bounds.MAX_LEASE_MS + 1),
    ("timeout_ms", 1, 0),
    ("max_attempts", 1, 0),
    ("max_attempts", bounds.MAX_ATTEMPTS, bounds.MAX_ATTEMPTS + 1),
    ("max_stalls", 1, 0),
    ("payload", b"x" * bounds.MAX_PAYLOAD_BYTES, b"x" * (bounds.MAX_PAYLOAD_BYTES + 1)),
    ("limits", NAMES[: bounds.MAX_LIMITS], NAMES),
    ("limits", ("l", "m"), ("l", "l")),
    ("limits", ("l",), ("queue:q",)),
    ("routes", (RouteSpec(name="r"),) * bounds.MAX_LIMITS, (RouteSpec(name="r"),) * (bounds.MAX_LIMITS + 1)),
    ("routes", (RouteSpec(name="r"),), (RouteSpec(name="no route"),)),
    ("routes", (RouteSpec(name="r", model=OPAQUE),), (RouteSpec(name="r", model=OPAQUE + "x"),)),
    ("routes", (RouteSpec(name="r", limits=NAMES[:16]),), (RouteSpec(name="r", limits=NAMES),)),
    ("routes", (RouteSpec(name="r", patience_ms=0),), (RouteSpec(name="r", patience_ms=-1),)),
    ("budgets", NAMES[: bounds.MAX_CHAIN], NAMES[: bounds.MAX_CHAIN + 1]),
    ("budgets", (OPAQUE,), ("",)),
    ("creates", (BudgetSpec(id="job:a"),) * bounds.MAX_CHAIN, (BudgetSpec(id="job:a"),) * (bounds.MAX_CHAIN + 1)),
    ("creates", (BudgetSpec(id="job:a", caps={"tokens": 0}),), (BudgetSpec(id="job:a", caps={"tokens": -1}),)),
    ("max_deferral_ms", 0, -1),
    ("max_deferral_ms", bounds.MAX_DELAY_MS, bounds.MAX_DELAY_MS + 1),
    ("depends_on", ("d",) * bounds.MAX_DEPENDENCIES, ("d",) * (bounds.MAX_DEPENDENCIES + 1)),
    ("depends_on", ("b",), ("",)),
    ("id", OPAQUE, ""),
    ("task", "t", "no task"),
    ("queue", "q", ""),
    ("flow", "f", ""),
    ("key", "k", ""),
    ("unique", "u", OPAQUE + "x"),
    ("tenant", "", OPAQUE + "x"),
    ("digest", "", OPAQUE + "x"),
]


@pytest.mark.parametrize(("field", "passes", "fails"), SMALL_AND_LARGE)
def test_a_field_of_a_job_passes_up_to_its_bound_and_no_further(field: str, passes: Any, fails: Any) -> None:
    v.check_spec(replace(SPEC, **{field: passes}))
    with pytest.raises(InvalidInput):
        v.check_spec(replace(SPEC, **{field: fails}))


@pytest.mark.parametrize(("field", "passes", "fails"), SMALL_AND_LARGE)
def test_a_job_is_looked_at_behind_one_that_is_alike(field: str, passes: Any, fails: Any) -> None:
    v.check_specs([SPEC, replace(SPEC, **{field: passes})])
    with pytest.raises(InvalidInput):
        v.check_specs([SPEC, SPEC, replace(SPEC, **{field: fails})])


CAPS = {"tokens": 5}


@pytest.mark.parametrize(
    "budget",
    [
        BudgetSpec(id="", caps=CAPS),
        BudgetSpec(id="job:b", parent="", caps=CAPS),
        BudgetSpec(id="job:b", parent="job:b", caps=CAPS),
        BudgetSpec(id="job:b", caps={"tokens": -1}),
        BudgetSpec(id="job:b", caps=CAPS, weights={"input": -1}),
    ],
)
def test_a_budget_is_looked_at_behind_one_that_is_alike(budget: BudgetSpec) -> None:
    alike = [replace(SPEC, creates=(BudgetSpec(id=own, caps=CAPS),)) for own in ("job:a", "job:b")]
    v.check_specs(alike)
    with pytest.raises(InvalidInput):
        v.check_specs([*alike, replace(SPEC, creates=(budget,))])


def test_a_job_that_depends_on_itself_is_refused() -> None:
    with pytest.raises(FlowInvalid, match="itself"):
        v.check_spec(replace(SPEC, depends_on=("a",)))


def test_a_batch_is_bounded_in_jobs_and_in_bytes() -> None:
    heavy = replace(SPEC, payload=b"x" * bounds.MAX_PAYLOAD_BYTES)
    fitting = bounds.MAX_BATCH_BYTES // bounds.MAX_PAYLOAD_BYTES
    v.check_batch([SPEC] * bounds.MAX_BATCH)
    v.check_batch([heavy] * fitting)

    with pytest.raises(TooLarge):
        v.check_batch([SPEC] * (bounds.MAX_BATCH + 1))
    with pytest.raises(TooLarge):
        v.check_batch([heavy] * fitting + [SPEC])


def test_a_child_and_its_parents_lease_go_together() -> None:
    child = replace(SPEC, child_of="wait")
    v.check_batch([child], LEASE)

    with pytest.raises(InvalidInput, match="child_of"):
        v.check_batch([child])
    with pytest.raises(InvalidInput, match="child_of"):
        v.check_batch([SPEC], LEASE)


def test_a_child_that_would_wait_for_its_parent_is_refused() -> None:
    with pytest.raises(FlowInvalid):
        v.check_batch([replace(SPEC, child_of="wait", depends_on=("parent",))], LEASE)


BUDGET = HeldFor.BUDGET


def held(need: dict[str, int]) -> Held:
    return Held(reason=BUDGET, by="b", need=need)


def deferred(limit: str) -> Deferred:
    return Deferred(JobError(type="RateLimited", message=""), 0, throttles=(Throttle(limit=limit),))


def left(limit: str = "l", tokens: int | None = None) -> Report:
    return replace(REPORT, remaining=(Remaining(limit=limit, tokens=tokens),))


REFUSED: list[tuple[str, Callable[[], None], type[InvalidInput]]] = [
    ("settlement without an id", lambda: v.check_settlements([Settlement(LEASE, "", Succeeded(b""))]), InvalidInput),
    ("too many settlements", lambda: v.check_settlements([Settlement(LEASE, "1", Succeeded(b""))] * 257), TooLarge),
    ("wait without a key", lambda: v.check_settlements([Settlement(LEASE, "1", Waiting("", None))]), InvalidInput),
    ("sleep without a key", lambda: v.check_settlements([Settlement(LEASE, "1", Sleeping("", 1))]), InvalidInput),
    ("need below zero", lambda: v.check_settlements([Settlement(LEASE, "1", Waiting("k", -1))]), InvalidInput),
    ("signal without a name", lambda: v.check_settlements([Settlement(LEASE, "1", Suspended("k", ""))]), InvalidName),
    ("pause in a deferral", lambda: v.check_settlements([Settlement(LEASE, "1", deferred("no limit"))]), InvalidName),
    ("hold on no budget", lambda: v.check_settlements([Settlement(LEASE, "1", Held(reason=BUDGET))]), InvalidInput),
    ("hold for nothing", lambda: v.check_settlements([Settlement(LEASE, "1", held({"euros": 1}))]), InvalidInput),
    ("hold for less", lambda: v.check_settlements([Settlement(LEASE, "1", held({"tokens": -1}))]), InvalidInput),
    ("call 0", lambda: v.check_calls([replace(CALL, number=0)]), InvalidInput),
    ("too many calls", lambda: v.check_calls([CALL] * 257), TooLarge),
    ("calls around a call", lambda: v.check_calls([replace(CALL, inside=(1,) * 257)]), TooLarge),
    ("limits of a call", lambda: v.check_calls([replace(CALL, limits=NAMES)]), TooLarge),
    ("a limit twice", lambda: v.check_calls([replace(CALL, limits=("l", "l"))]), InvalidInput),
    ("report of no call", lambda: v.check_reports([replace(REPORT, call=-1)]), InvalidInput),
    ("too many reports", lambda: v.check_reports([REPORT] * 257), TooLarge),
    ("expiry by a run", lambda: v.check_reports([replace(REPORT, state=CallState.EXPIRED)]), InvalidInput),
    ("wide use", lambda: v.check_reports([replace(REPORT, used=(WIDE,))]), TooLarge),
    ("models of a report", lambda: v.check_reports([replace(REPORT, used=(Usage(),) * 17)]), TooLarge),
    ("time before now", lambda: v.check_reports([replace(REPORT, retry_after_ms=-1)]), InvalidInput),
    ("what remains", lambda: v.check_reports([left(tokens=-1)]), InvalidInput),
    ("what remains of nothing", lambda: v.check_reports([left(limit="")]), InvalidName),
    ("pause of nothing", lambda: v.check_throttles([replace(PAUSE, limit="")]), InvalidName),
    ("tokens of a pause", lambda: v.check_throttles([replace(PAUSE, tokens=-1)]), InvalidInput),
    ("pause beyond a year", lambda: v.check_throttles([replace(PAUSE, retry_after_ms=2**40)]), InvalidInput),
    ("too many pauses", lambda: v.check_throttles([PAUSE] * 257), TooLarge),
    ("settings of no queue", lambda: v.check_settings("", QueueSettings()), InvalidName),
    ("no room in a queue", lambda: v.check_settings("q", QueueSettings(max_ready=0)), InvalidInput),
    ("no run of a queue", lambda: v.check_settings("q", QueueSettings(concurrency=0)), InvalidInput),
    ("no rate of a queue", lambda: v.check_settings("q", QueueSettings(rate=0)), InvalidInput),
    ("rate in no time", lambda: v.check_settings("q", QueueSettings(rate=1, rate_per_ms=0)), InvalidInput),
    (
        "uncountable rate",
        lambda: v.check_settings("q", QueueSettings(rate=10**12, rate_per_ms=10**9 + 7)),
        InvalidInput,
    ),
    ("no weight", lambda: v.check_weight("acme", 0), InvalidInput),
    ("weight of nobody", lambda: v.check_weight("", 1), InvalidInput),
    ("result", lambda: v.check_result(b"x" * (bounds.MAX_RESULT_BYTES + 1)), TooLarge),
    ("worker", lambda: v.check_claim(ClaimRequest("", 1, "l", ())), InvalidInput),
    ("lease id", lambda: v.check_claim(ClaimRequest("w", 1, "", ())), InvalidInput),
    ("claim number", lambda: v.check_claim(ClaimRequest("w", -1, "l", ())), InvalidInput),
    ("queue of a claim", lambda: v.check_claim(ClaimRequest("w", 1, "l", (Want("", 1),))), InvalidName),
    ("wanted count", lambda: v.check_claim(ClaimRequest("w", 1, "l", (Want("q", -1),))), InvalidInput),
    ("too many queues", lambda: v.check_claim(ClaimRequest("w", 1, "l", (Want("q", 1),) * 257)), TooLarge),
    ("chunk", lambda: check_chunks([NewChunk(1, b"x" * (bounds.MAX_CHUNK_BYTES + 1))]), TooLarge),
    ("too many chunks", lambda: check_chunks([NewChunk(1, b"")] * 257), TooLarge),
    (
        "too many bytes of chunks",
        lambda: check_chunks([FULL] * (bounds.MAX_BATCH_BYTES // bounds.MAX_CHUNK_BYTES + 1)),
        TooLarge,
    ),
    ("chunk before the first", lambda: check_chunks([NewChunk(0, b"")]), InvalidInput),
    ("marker by a run", lambda: check_chunks([NewChunk(1, b"", ChunkKind.END)]), InvalidInput),
    ("step of a chunk", lambda: check_chunks([NewChunk(1, b"", step="")]), InvalidInput),
    ("step key", lambda: v.check_step(Step("", StepKind.VALUE, b"")), InvalidInput),
    ("step's value", lambda: v.check_step(Step("k", StepKind.VALUE, b"x" * (bounds.MAX_STEP_BYTES + 1))), TooLarge),
    ("wait by a run", lambda: v.check_step(Step("k", StepKind.TIMER, b"")), InvalidInput),
    ("signal's name", lambda: v.check_signal("", "1", b""), InvalidName),
    ("signal's id", lambda: v.check_signal("s", "", b""), InvalidInput),
    ("signal", lambda: v.check_signal("s", "1", b"x" * (bounds.MAX_SIGNAL_BYTES + 1)), TooLarge),
    ("no limit", lambda: v.check_limit(0), InvalidInput),
    ("page", lambda: v.check_limit(bounds.MAX_PAGE + 1), TooLarge),
]


@pytest.mark.parametrize(("check", "error"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_no_store_takes_is_refused(check: Callable[[], None], error: type[InvalidInput]) -> None:
    with pytest.raises(error):
        check()


def test_what_is_at_its_bound_passes() -> None:
    v.check_settlements([Settlement(LEASE, "1", Suspended("k", "s", 0)), Settlement(LEASE, "2", Waiting("k", 0))])
    v.check_result(b"x" * bounds.MAX_RESULT_BYTES)
    v.check_claim(ClaimRequest("w", 0, "l", (Want("q", 0), Want("q", 10_000))))
    check_chunks([FULL] * (bounds.MAX_BATCH_BYTES // bounds.MAX_CHUNK_BYTES))
    v.check_step(Step("k", StepKind.VALUE, b"x" * bounds.MAX_STEP_BYTES))
    v.check_signal("s", "1", b"x" * bounds.MAX_SIGNAL_BYTES)
    v.check_limit(1)
    v.check_limit(bounds.MAX_PAGE)
    v.check_settlements([Settlement(LEASE, "1", held({"tokens.output": 0})), Settlement(LEASE, "2", deferred("l"))])
    v.check_calls([replace(CALL, limits=NAMES[:16], estimate=Estimate(max_output=1, min_output=1))] * 256)
    v.check_reports([replace(REPORT, state=CallState.SETTLED, used=(Usage(input=1),) * 16), left(tokens=0)])
    v.check_throttles([replace(PAUSE, key=OPAQUE, tokens=bounds.MAX_AMOUNT, retry_after_ms=0)])
    v.check_settings("q", QueueSettings())
    v.check_settings("q", QueueSettings(max_ready=1, concurrency=1, rate=50, rate_per_ms=1))
    v.check_weight("acme", bounds.MAX_WEIGHT)


def test_a_long_error_text_is_cut_between_characters() -> None:
    assert v.cut("é" * bounds.MAX_ERROR_BYTES) == "é" * (bounds.MAX_ERROR_BYTES // 2)
    assert v.cut("x" + "é" * bounds.MAX_ERROR_BYTES) == "x" + "é" * (bounds.MAX_ERROR_BYTES // 2 - 1)


def test_an_error_text_that_no_store_could_keep_is_escaped() -> None:
    assert v.cut("a\0b\ud800c") == "a\\0b\\ud800c"
