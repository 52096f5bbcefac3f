"""The lanes in which nearly all jobs wait: whatever comes and goes, they are read as one order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiq.backends.redis import scripts
from tests.backends.redis.cases import MANY, many
from tests.backends.redis.lua import run

SMALL = {"shelves": scripts.source("_shelves").replace("local MOST = 64\n", "local MOST = 3\n")}
"""Shelves that are full soon."""
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

    for answer, (_, there) in zip(run(BODY, asked, pieces=SMALL), told, strict=True):
        before = sum(score < 5 for score in there)
        assert answer == [[id_of(score) for score in sorted(there)], before, bool(there)]


def test_one_that_comes_and_goes_within_a_step_leaves_nothing() -> None:
    moves = [[("put", "a", 1), ("drop", "a", 1), ("put", "b", 2), ("drop", "b", 2), ("put", "b", 3)]]

    assert run(BODY, [{"name": "lane", "steps": moves}]) == [[["b"], 1, True]]


def test_no_shelf_that_jobs_only_join_at_the_end_holds_more_than_it_may() -> None:
    body = """
    for first = 1, case, 50 do
      for score = first, first + 49 do shelves.put('lane', digits(score), score) end
      shelves.settle('lane')
    end
    local most = 0
    for _, shelf in ipairs(call('ZRANGE', key('shelves', 'lane'), 0, -1)) do
      most = math.max(most, call('ZCARD', key('shelf', 'lane', shelf)))
    end
    return most, shelves.count('lane', nil, case)
    """

    assert run(body, [1_000]) == [[64, 1_000]]


ORDINARY: list[Any] = ["a", "0" * 31, "A" * 32, "g" * 32, "é" * 16, ""]


@pytest.mark.parametrize("id_", ["0123456789abcdef" * 2, "f" * 32, "0" * 32, *ORDINARY])
def test_an_id_is_read_as_it_was_written(id_: str) -> None:
    body = "return briefs.whole(briefs.id(case)), #briefs.id(case)"

    assert run(body, [id_]) == [[id_, len(id_.encode()) if id_ in ORDINARY else 17]]
