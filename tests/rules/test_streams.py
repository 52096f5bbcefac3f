"""Which data a new run makes void, and how resets say so."""

import json

from aiq.bounds import MAX_CHUNK_BYTES
from aiq.rules.streams import Range, reset_bodies


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
