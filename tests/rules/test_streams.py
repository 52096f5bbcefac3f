"""Which data a new run makes void, how resets say so, and how many items are read at once."""

import json

import pytest

from aiq.bounds import MAX_BATCH, MAX_CHUNK_BYTES, MAX_PAGE
from aiq.rules.streams import Range, page_lengths, reset_bodies


def single(numbers: range) -> list[Range]:
    return [Range(n, n, fence=1, step=None) for n in numbers]


def test_neighbours_are_named_as_one_range() -> None:
    assert reset_bodies([*single(range(1, 4)), Range(4, 9, 1, "a"), Range(11, 12, 1, "b")]) == [
        b'{"void":[[1,9],[11,12]]}'
    ]


def test_nothing_is_named_by_no_reset() -> None:
    assert reset_bodies([]) == []


def test_no_reset_is_over_the_bound_of_a_chunk_and_none_is_there_without_need() -> None:
    # Each pair, with its comma, has sixteen bytes; the frame around them has as many as eleven, less one comma.
    fitting = (MAX_CHUNK_BYTES - 11 + 1) // 16
    numbers = range(100_000, 100_000 + 2 * (fitting + 1), 2)

    bodies = reset_bodies(single(numbers))

    assert [len(json.loads(body)["void"]) for body in bodies] == [fitting, 1]
    assert all(len(body) <= MAX_CHUNK_BYTES for body in bodies)
    assert [pair for body in bodies for pair in json.loads(body)["void"]] == [[n, n] for n in numbers]
    assert len(reset_bodies(single(numbers[:fitting]))) == 1


@pytest.mark.parametrize(
    ("wanted", "lengths"),
    [
        ([], []),
        ([0], [0]),
        ([7], [7]),
        ([MAX_PAGE], [MAX_PAGE]),
        ([MAX_PAGE, MAX_PAGE], [128, 128]),
        ([MAX_PAGE, 0, 6, MAX_PAGE], [125, 0, 6, 125]),
        ([MAX_PAGE] * 3, [85, 85, 86]),
        ([1] * MAX_BATCH, [1] * MAX_BATCH),
        ([MAX_PAGE] * MAX_BATCH, [1] * MAX_BATCH),
        ([MAX_PAGE, *[1] * 99], [157, *[1] * 99]),
    ],
)
def test_pages_that_are_read_together_share_the_room_evenly(wanted: list[int], lengths: list[int]) -> None:
    assert page_lengths(wanted) == lengths
