"""The lanes in which nearly all jobs wait: whatever comes and goes, they are read as one order."""

from functools import cache
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiq.backends.redis import scripts
from aiq.testing.actions import enqueue_one
from aiq.testing.clock import Clock
from aiq.testing.twins import run_histories
from tests import stores
from tests.backends.redis.cases import MANY, many
from tests.backends.redis.lua import run
from tests.conformance.test_model import Histories
from tests.keys import clean
from tests.servers import server

EFFORTS = {"dev": (6, 20), "ci": (100, 50), "nightly": (1_000, 100)}
"""Histories, and steps in each."""
_names = count(1)


def holding(most: int) -> dict[str, str]:
    """The piece of shelves that hold so many, and are full soon."""
    found = scripts.source("_shelves").replace("local MOST = 64\n", f"local MOST = {most}\n")
    assert found != scripts.source("_shelves")
    return {"shelves": found}


BODY = """
for _, moves in ipairs(case.steps) do
  for _, one in ipairs(moves) do
    if one[1] == 'put' then shelves.put(case.name, one[2], one[3]) else shelves.drop(case.name, one[2], one[3]) end
  end
  shelves.settle(case.name)
end
return shelves.first(case.name, 1000), shelves.count(case.name, 5, 1000), shelves.any(case.name)
"""
STEPS = st.lists(st.lists(st.integers(-5, 20), max_size=12), max_size=8)
"""Scores of jobs, each of which comes if it is not there, and goes if it is."""


def id_of(score: int) -> str:
    """The id of the job of a score: some are kept in few bytes, and some are not."""
    return f"{score + 100:032x}" if score % 2 else f"job {score}"


def moves_of(steps: list[list[int]]) -> tuple[list[list[tuple[str, str, int]]], set[int]]:
    """What a storage is told, and what stands there in the end."""
    there: set[int] = set()
    told = []
    for step in steps:
        told.append([("drop" if score in there else "put", id_of(score), score) for score in dict.fromkeys(step)])
        there ^= set(step)
    return told, there


@MANY
@given(many(STEPS))
def test_what_stands_on_shelves_is_read_in_its_order_whatever_came_and_went(cases: list[list[list[int]]]) -> None:
    told = [moves_of(steps) for steps in cases]
    asked = [{"name": f"lane {place}", "steps": steps} for place, (steps, _) in enumerate(told)]

    for answer, (_, there) in zip(run(BODY, asked, pieces=holding(3)), told, strict=True):
        before = sum(score < 5 for score in there)
        assert answer == [[id_of(score) for score in sorted(there)], before, bool(there)]


def test_a_full_shelf_on_which_all_stand_before_its_score_is_used_on() -> None:
    moves = [[("put", str(score), score) for score in (10, 5, 6, 7)], [("drop", "10", 10)], [("put", "8", 8)]]

    assert run(BODY, [{"name": "lane", "steps": moves}], pieces=holding(3)) == [[["5", "6", "7", "8"], 0, True]]


def test_one_that_comes_and_goes_within_a_step_leaves_nothing() -> None:
    moves = [[("put", "a", 1), ("drop", "a", 1), ("put", "b", 2), ("drop", "b", 2), ("put", "b", 3)]]

    assert run(BODY, [{"name": "lane", "steps": moves}]) == [[["b"], 1, True]]


@pytest.mark.parametrize(("first", "last"), [(1, 3), (2, 5), (1, 150), (64, 65), (100, 150), (60, 60)])
def test_what_was_read_is_taken_out_by_its_places(first: int, last: int) -> None:
    body = """
    for score = 1, 150 do shelves.put('lane', digits(score), score) end
    local before = shelves.first('lane', 151)
    shelves.drop_read('lane', case[1], case[2])
    shelves.put('lane', '0', 0)
    return before, shelves.first('lane', 151), shelves.any('lane')
    """
    every = [str(score) for score in range(1, 151)]

    assert run(body, [[first, last]]) == [[every, ["0", *every[: first - 1], *every[last:]], True]]


SIZES = """
local function sizes()
  local found = {}
  for _, shelf in ipairs(call('ZRANGE', key('shelves', 'lane'), 0, -1)) do
    found[#found + 1] = call('ZCARD', key('shelf', 'lane', shelf))
  end
  return found
end
"""


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("jobs that come behind all others", [[n, n + 50] for n in range(1_000, 2_000, 50)]),
        ("jobs that come before all others", [[n + 49, n - 1] for n in range(1_950, 950, -50)]),
        ("jobs that come back before others", [[5_000, 5_064], [1_000, 1_500], [1_500, 2_000]]),
    ],
)
def test_no_shelf_holds_more_than_it_may(order: str, first: list[list[int]]) -> None:
    body = f"""{SIZES}
    for _, range in ipairs(case) do
      local by = range[1] < range[2] and 1 or -1
      for score = range[1], range[2] - by, by do shelves.put('lane', digits(score), score) end
      shelves.settle('lane')
    end
    return math.max(unpack(sizes())), shelves.count('lane', nil, 2000)
    """

    assert run(body, [first]) == [[64, sum(abs(one - other) for one, other in first)]], order


GHOST = """
for score = 1, 200 do shelves.put('lane', digits(score), score) end
shelves.settle('lane')
call('DEL', key('shelf', 'lane', digits(case)))
"""
"""Two hundred jobs, of whose shelves somebody has removed one by hand."""


@pytest.mark.parametrize(("gone", "left"), [(1, 64), (65, 64), (193, 8)])
def test_a_shelf_that_is_gone_hides_none_behind_it(gone: int, left: int) -> None:
    body = (
        GHOST
        + "return #shelves.first('lane', 1000), shelves.count('lane', nil, 1000), shelves.count('lane', 201, 1000)"
    )

    assert run(body, [gone]) == [[200 - left] * 3]


def test_no_more_are_counted_than_are_asked_for_and_nobody_looks_further() -> None:
    body = f"""{GHOST.replace("digits(case)", "'none'")}
    call('SET', key('shelf', 'lane', '193'), 'whoever looks here stumbles')
    return shelves.count('lane', 150, 1000), shelves.count('lane', nil, 10), shelves.count('lane', 150, 10)
    """

    assert run(body, [0]) == [[149, 10, 10]]


@pytest.mark.parametrize("gone", [1, 65, 193])
def test_whoever_takes_all_that_is_left_leaves_nothing_listed(gone: int) -> None:
    body = (
        GHOST
        + """
    for _, id in ipairs(shelves.first('lane', 1000)) do shelves.drop('lane', id, tonumber(id)) end
    return shelves.any('lane')
    """
    )

    assert run(body, [gone]) == [[False]]


def test_jobs_of_which_nobody_knows_where_they_stand_are_lost_one_by_one() -> None:
    body = """
    for score = 1, 200 do shelves.put('lane', 'job ' .. score, score) end
    for _, id in ipairs(shelves.first('lane', 150)) do shelves.lose('lane', id) end
    return shelves.first('lane', 1000)
    """

    assert run(body, [0]) == [[[f"job {score}" for score in range(151, 201)]]]


ORDINARY: list[Any] = ["a", "0" * 31, "A" * 32, "g" * 32, "é" * 16, ""]


@pytest.mark.parametrize("id_", ["0123456789abcdef" * 2, "f" * 32, "0" * 32, *ORDINARY])
def test_an_id_is_read_as_it_was_written(id_: str) -> None:
    body = "return briefs.whole(briefs.id(case)), #briefs.id(case)"

    assert run(body, [id_]) == [[id_, len(id_.encode()) if id_ in ORDINARY else 17]]


def test_every_history_is_that_of_the_reference_on_shelves_that_hold_one(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    files = {**scripts._files(), "_shelves": holding(1)["shelves"]}
    monkeypatch.setattr(scripts, "_files", lambda: files)
    # Nothing is to be remembered of the others here, nor of these elsewhere.
    monkeypatch.setattr(scripts, "_piece", scripts._piece.__wrapped__)
    monkeypatch.setattr(scripts, "script", cache(scripts.script.__wrapped__))
    monkeypatch.setattr(scripts, "_composed", {})

    run_histories(Histories, stores.redis, pytestconfig, EFFORTS)


@pytest.mark.parametrize("lost", ["shelf:lane:default:2:::1", "shelves:lane:default:2::"])
async def test_a_shelf_that_no_lane_knows_and_one_that_is_not_there_are_left_over(lost: str) -> None:
    name = f"shelves{next(_names)}"
    async with stores.opened(server().url(name), Clock()) as storage:
        await enqueue_one(storage, "a")
        server().ask("DEL", f"{{aiq:{name}}}:{lost}")

    assert clean(server(), name) == [f"{{aiq:{name}}}:shelf:lane:default:2:::1"]
