"""Ids that order by time, and ids that a repeat finds again."""

from aiq.rules.ids import child_id, new_id, node_id


def test_ids_are_32_hex_digits_and_order_by_their_time() -> None:
    earlier, later = new_id(1_700_000_000_000, b"\xff" * 10), new_id(1_700_000_000_001, b"\0" * 10)

    assert earlier < later
    assert {len(earlier), len(later)} == {32}
    int(earlier, 16)


def test_a_later_run_derives_the_same_ids_for_its_children() -> None:
    assert child_id("parent", "search", 0) == child_id("parent", "search", 0)


def test_children_differ_by_parent_key_and_index() -> None:
    ids = {
        child_id("parent", "search", 0),
        child_id("other", "search", 0),
        child_id("parent", "search#2", 0),
        child_id("parent", "search", 1),
        child_id("parents", "earch", 0),
        node_id("parent", 0),
        node_id("parent", 1),
    }

    assert len(ids) == 7
