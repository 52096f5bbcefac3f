"""Ids that order by time, and ids that a repeat finds again."""

from aiq.rules.ids import child_id, new_id, node_id


def test_ids_are_32_hex_digits_and_order_by_their_time() -> None:
    instants = [
        1_700_000_000_000_000_000,
        1_700_000_000_000_001_000,
        1_700_000_000_000_999_999,
        1_700_000_000_001_000_000,
    ]
    ids = [new_id(now_ns, entropy) for now_ns, entropy in zip(instants, [b"\xff" * 8, b"\0" * 8] * 2, strict=True)]

    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {32}
    assert all(int(one[:12], 16) == now_ns // 10**6 for one, now_ns in zip(ids, instants, strict=True))
    int(ids[0], 16)


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
