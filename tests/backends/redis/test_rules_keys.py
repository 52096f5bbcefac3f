"""The rules of ordered keys, unique keys and the dead in Lua, beside those in Python."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from aiq import bounds
from aiq.backends.redis import wire
from aiq.errors import Conflict
from aiq.model import (
    Band,
    Cause,
    DeadGroup,
    JobError,
    JobRecord,
    JobSpec,
    OnUnique,
    Redrive,
    RouteSpec,
    State,
    Target,
    Wait,
)
from aiq.rules import deaths, keys, redriving, unique
from tests.backends.redis.lua import run

MANY = settings(max_examples=12, deadline=None)
"""Each example is a list of cases, which one script goes through."""
NOW = 1_000_000_000
FEW = st.integers(0, 3)
STANDS = st.sampled_from(keys.Stand)
STATES = st.sampled_from(State)
PARKED = st.sampled_from(["hold", "free"])
KEY_STATES = st.builds(keys.KeyState, per_key=FEW, places=FEW, holders=FEW, line=FEW, paused=st.booleans())
BRANCHES = st.none() | st.builds(keys.Branch, st.sampled_from([1, 2, 255, 256, 2**53 - 1]), st.integers(1, 3))
TURNS = st.sampled_from([1, 2, 3, 255, 256, 257, 2**32, 2**53 - 1])
_Case = TypeVar("_Case")


def many(cases: st.SearchStrategy[_Case]) -> st.SearchStrategy[list[_Case]]:
    return st.lists(cases, min_size=1, max_size=60)


def key_map(state: keys.KeyState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__struct_fields__}


@MANY
@given(many(st.tuples(KEY_STATES, STANDS, STANDS, FEW)))
def test_a_key_goes_on_as_in_python(cases: list[tuple[keys.KeyState, keys.Stand, keys.Stand, int]]) -> None:
    told = run(
        "local state = setmetatable(case.state, defaults.KeyState)\n"
        "local function whole(one) return {one.per_key, one.places, one.holders, one.line, one.paused} end\n"
        "return keys.room(state), keys.waits(state), keys.forgotten(state), whole(keys.told(state, case.per_key)),"
        " whole(keys.known(state, case.per_key)), whole(keys.moved(state, case.before, case.after))",
        [{"state": key_map(s), "before": b, "after": a, "per_key": n} for s, b, a, n in cases],
    )

    def whole(state: keys.KeyState) -> list[int | bool]:
        return list(key_map(state).values())

    assert told == [
        [s.room, s.waits, s.forgotten, whole(s.told(n)), whole(s.known(n)), whole(s.moved(b, a))]
        for s, b, a, n in cases
    ]


@MANY
@given(many(st.tuples(KEY_STATES, STANDS, STATES, PARKED, st.booleans())))
def test_a_job_stands_at_its_key_as_in_python(cases: list[tuple[keys.KeyState, keys.Stand, State, str, bool]]) -> None:
    told = run(
        "local state = setmetatable(case.key, defaults.KeyState)\n"
        "return keys.arrived(state, case.state, case.while_parked, case.parks),"
        " keys.follows(case.stand, state, case.while_parked, case.state, case.parks),"
        " keys.fits(case.stand, case.state, case.parks, case.while_parked)",
        [
            {"key": key_map(key), "stand": stand, "state": state, "while_parked": while_parked, "parks": parks}
            for key, stand, state, while_parked, parks in cases
        ],
    )
    assert told == [
        [
            keys.arrived(key, state, while_parked, parks=parks),
            keys.follows(stand, key, while_parked, state, parks=parks),
            keys.fits(stand, state, parks=parks, while_parked=while_parked),
        ]
        for key, stand, state, while_parked, parks in cases
    ]


@MANY
@given(st.lists(st.tuples(TURNS, BRANCHES), min_size=1, max_size=20, unique_by=lambda case: case[0]))
def test_a_line_has_the_order_that_it_has_in_python(cases: list[tuple[int, keys.Branch | None]]) -> None:
    rows = [
        {"turn": turn, "root": branch.root if branch else turn, "depth": branch.depth if branch else 0}
        for turn, branch in cases
    ]
    ((found,),) = run(
        "for _, one in ipairs(case.rows) do call('ZADD', key('line'), 0, keys.place(one) .. digits(one.turn)) end\n"
        "local found = {}\n"
        "for place, one in ipairs(call('ZRANGE', key('line'), 0, -1)) do found[place] = one:sub(19) end\n"
        "return found",
        [{"rows": rows}],
    )
    ordered = sorted(cases, key=lambda case: keys.place_in_line(*case))
    assert found == [str(turn) for turn, _ in ordered]


@MANY
@given(many(st.tuples(FEW, st.lists(st.tuples(STATES, st.sampled_from(["", "nap"])), max_size=4))))
def test_those_are_called_up_who_are_in_python(cases: list[tuple[int, list[tuple[State, str]]]]) -> None:
    told = run(
        "local found = {}\n"
        "for _, job in ipairs(keys.called_up(case.room, case.line)) do found[#found + 1] = job.id end\n"
        "return found",
        [
            {"room": room, "line": [{"id": n, "state": state, "wait_key": key} for n, (state, key) in enumerate(line)]}
            for room, line in cases
        ],
    )
    assert told == [
        [list(keys.called_up(room, [(n, state, keys.parked(state, key)) for n, (state, key) in enumerate(line)]))]
        for room, line in cases
    ]


# Unique keys

SPECS = st.builds(
    JobSpec,
    id=st.sampled_from(["j1", "j2", "j3", "j4"]),
    task=st.just("sum"),
    digest=st.sampled_from(["", "d1"]),
    unique=st.none() | st.sampled_from(["u1", "u2"]),
    unique_for_ms=st.none() | st.sampled_from([1, 10]),
    on_unique=st.sampled_from(["keep", "replace", "debounce"]),
    tenant=st.sampled_from(["", "t"]),
    routes=st.sampled_from([(), (RouteSpec(name="a"),), (RouteSpec(name="a", model="m"),)]),
    band=st.sampled_from(Band),
    delay_ms=st.sampled_from([0, 5]),
)
RECORDS = st.builds(
    JobRecord,
    id=st.sampled_from(["j1", "j5"]),
    task=st.just("sum"),
    unique=st.sampled_from(["u1", "u2"]),
    state=STATES,
    fence=st.sampled_from([0, 1]),
    tenant=st.sampled_from(["", "t"]),
    routes=st.sampled_from([(), (RouteSpec(name="a"),)]),
    max_attempts=st.just(3),
    digest=st.just("d1"),
    at_ms=st.none() | st.just(NOW - 1),
)
HOWS: st.SearchStrategy[OnUnique] = st.sampled_from(["keep", "replace", "debounce"])
HOLDERS = st.builds(
    unique.Holder,
    job_id=st.sampled_from(["j1", "j5"]),
    how=HOWS,
    last_id=st.sampled_from(["j1", "j2", "j9"]),
    last_digest=st.sampled_from(["", "d1"]),
    until_ms=st.none() | st.sampled_from([NOW - 1, NOW, NOW + 1]),
    state=st.just(None),
)
HELD = st.builds(unique.Held, HOLDERS, st.none() | RECORDS)
LOOK = """
local batch, held = {}, {}
for place, spec in ipairs(case.batch) do batch[place] = jobs.new(spec) end
for _, one in ipairs(case.held) do
  if one.job then jobs.new(one.job) end
  held[one.name] = {row = one.row, job = one.job}
end
local stored = {}
for _, id in ipairs(case.stored) do stored[id] = true end
local found, listed = unique.answered(batch, stored, held, case.now_ms), {}
for _, id in ipairs(order.names(found)) do listed[#listed + 1] = {id, found[id].job_id, found[id].changes} end
return listed
"""


def held_map(key: unique.Key, held: unique.Held) -> dict[str, Any]:
    row = {name: value for name, value in asdict(held.holder).items() if value is not None}
    job = {} if held.job is None else {"job": wire.said(held.job)}
    return {"name": "\0".join(key), "row": row} | job


def python_answer(batch: list[JobSpec], stored: set[str], held: Mapping[unique.Key, unique.Held]) -> Any:
    try:
        found = unique.answered(batch, stored, held, NOW)
    except Conflict as conflict:
        return {"refused": "Conflict", "detail": {"message": str(conflict), "reason": conflict.reason}}
    return [[[job_id, found[job_id].job_id, found[job_id].changes] for job_id in sorted(found)]]


@MANY
@given(
    many(
        st.tuples(
            st.lists(SPECS, min_size=1, max_size=4),
            st.sets(st.sampled_from(["j1", "j2"]), max_size=1),
            st.dictionaries(st.sampled_from([("sum", "u1"), ("sum", "u2")]), HELD, max_size=2),
        )
    )
)
def test_a_batch_is_answered_as_in_python(
    cases: list[tuple[list[JobSpec], set[str], dict[unique.Key, unique.Held]]],
) -> None:
    told = run(
        LOOK,
        [
            {
                "batch": batch,
                "stored": sorted(stored),
                "held": [held_map(key, one) for key, one in held.items()],
                "now_ms": NOW,
            }
            for batch, stored, held in cases
        ],
    )
    assert told == [python_answer(batch, stored, held) for batch, stored, held in cases]


@MANY
@given(many(st.tuples(st.none() | HELD, RECORDS)))
def test_a_key_is_taken_again_as_in_python(cases: list[tuple[unique.Held | None, JobRecord]]) -> None:
    told = run(
        "if case.there and case.there.job then jobs.new(case.there.job) end\n"
        "local found = unique.retaken(case.there, jobs.new(case.job), case.now_ms)\n"
        "return found and {found.job_id, found.how, found.last_id, found.last_digest, found.until_ms or 0}",
        [
            {"job": job, "now_ms": NOW} | ({} if there is None else {"there": held_map(("sum", "u1"), there)})
            for there, job in cases
        ],
    )
    found = [unique.retaken(there, job, NOW) for there, job in cases]
    assert told == [
        [one and [one.job_id, one.how, one.last_id, one.last_digest, one.until_ms or 0]] if one else [] for one in found
    ]


# The dead

ERRORS = st.builds(
    JobError,
    type=st.text(max_size=3),
    message=st.text(alphabet="aé€😀", max_size=3).map(lambda text: text * 1_000),
    cause=st.sampled_from(Cause),
    fingerprint=st.sampled_from(["", "f" * 32]),
    code=st.sampled_from(["", "429"]),
    pattern=st.sampled_from(["", "<n> tokens"]),
)
DEAD = st.builds(
    JobRecord,
    id=st.just("j1"),
    task=st.just("sum"),
    state=st.sampled_from([State.DEAD, State.CANCELLED, State.READY]),
    cause=st.none() | st.sampled_from(Cause),
    failures=FEW,
    generation=st.integers(1, 2),
    parent_id=st.none() | st.just("p1"),
    key=st.none() | st.just("it's"),
    per_key=st.integers(0, 1),
    routes=st.sampled_from([(), (RouteSpec(name="a"), RouteSpec(name="b"))]),
    route=st.integers(0, 1),
    budgets=st.sampled_from([(), ("b1",)]),
    deadline_ms=st.none() | st.just(NOW),
    late=st.booleans(),
)
GROUPS = st.none() | st.builds(
    DeadGroup,
    fingerprint=st.just("f" * 32),
    task=st.just("old"),
    cause=st.just(Cause.TIMEOUT),
    type=st.just("T"),
    code=st.just("c"),
    place=st.just("p"),
    pattern=st.just("x"),
    first_seen_ms=st.just(NOW - 9),
    last_seen_ms=st.just(NOW - 8),
    dead=FEW,
    died=FEW,
    attempts=FEW,
    tokens=FEW,
)
REDRIVES = st.builds(
    Redrive,
    id=st.just("r1"),
    targets=st.just((Target("j1", 1),)),
    queue=st.none() | st.sampled_from(["default", "other"]),
    band=st.none() | st.sampled_from(Band),
    route=st.none() | st.sampled_from(["b", "c"]),
    budget=st.none() | st.just("b2"),
    delay_ms=st.sampled_from([0, 5, bounds.MAX_DELAY_MS]),
    spread_ms=st.sampled_from([0, 7]),
    detach=st.booleans(),
)


@MANY
@given(many(st.tuples(GROUPS, DEAD, ERRORS)))
def test_a_group_takes_a_death_as_in_python(cases: list[tuple[DeadGroup | None, JobRecord, JobError]]) -> None:
    told = run(
        "local group = case.group and setmetatable(case.group, defaults.DeadGroup)\n"
        "return deaths.died(group, jobs.new(case.job), case.error, case.now_ms)",
        [
            {"job": job, "error": error, "now_ms": NOW} | ({} if group is None else {"group": group})
            for group, job, error in cases
        ],
    )
    expected = [deaths.died(group, replace(job, errors=(error,)), error, NOW) for group, job, error in cases]
    assert [wire.heard(DeadGroup, one) for (one,) in told] == expected


@MANY
@given(many(st.tuples(DEAD, st.integers(1, 2), REDRIVES, st.booleans(), st.none() | st.just("up"))))
def test_a_redrive_is_refused_as_in_python(
    cases: list[tuple[JobRecord, int, Redrive, bool, str | None]],
) -> None:
    cases = [(job, n, request, orphaned and job.parent_id is not None, up) for job, n, request, orphaned, up in cases]
    told = run(
        "return redriving.refusal(jobs.new(case.job), case.generation, case.request, case.orphaned, case.doomed_by)",
        [
            {"job": job, "generation": generation, "request": request, "orphaned": orphaned}
            | ({} if doomed_by is None else {"doomed_by": doomed_by})
            for job, generation, request, orphaned, doomed_by in cases
        ],
    )

    def refused(job: JobRecord, generation: int, request: Redrive, orphaned: bool, doomed_by: str | None) -> Any:
        conflict = redriving.refusal(job, generation, request, orphaned=orphaned, doomed_by=doomed_by)
        return [] if conflict is None else [{"message": str(conflict), "reason": conflict.reason}]

    assert told == [refused(*case) for case in cases]


@MANY
@given(many(st.tuples(DEAD, REDRIVES)))
def test_a_job_begins_anew_as_in_python(cases: list[tuple[JobRecord, Redrive]]) -> None:
    cases = [(job, request) for job, request in cases if request.route != "c" and (job.routes or not request.route)]
    told = run(
        "return redriving.anew(jobs.new(case.job), case.request), redriving.first_change(case.request, 3, nil)",
        [{"job": job, "request": request} for job, request in cases],
    )
    for (job, request), (found, change) in zip(cases, told, strict=True):
        wanted = redriving.first_change(request, 3, None)
        assert wire.heard(JobRecord, found) == replace(redriving.anew(job, request), errors=())
        assert (change["state"], change["lane"]) == (wanted.state, wanted.lane)
        assert change.get("due_ms") == wanted.delay_ms  # the instant of the step is 0


@MANY
@given(
    many(
        st.tuples(
            st.builds(Wait, key=st.just("w"), total=st.just(3), need=st.none() | FEW, succeeded=FEW, failed=FEW),
            st.booleans(),
        )
    )
)
def test_a_wait_begins_again_as_in_python(cases: list[tuple[Wait, bool]]) -> None:
    told = run(
        "return redriving.reopened(setmetatable(case.wait, defaults.Wait), case.seen)",
        [{"wait": wait, "seen": seen} for wait, seen in cases],
    )
    expected = [redriving.reopened(wait, seen=seen) for wait, seen in cases]
    assert [wire.heard(Wait, one[0]) if one else None for one in told] == expected
