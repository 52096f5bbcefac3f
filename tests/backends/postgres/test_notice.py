"""What a notification says."""

from aiq.backends.postgres.notice import MOST_RANGES, MOST_TOPICS, Notice, number, read

FIRST = range(1, 3)
SECOND = range(3, 4)


def noticed(*steps: tuple[list[str], range]) -> str:
    """What is told of some steps."""
    notice = Notice("channel", "word")
    for topics, changes in steps:
        notice.add(topics, changes)
    return notice.take()


def test_steps_that_follow_each_other_are_told_as_one() -> None:
    word, changes, topics = read(noticed((["queue:a"], FIRST), (["job:b"], SECOND)))

    assert word == "word"
    assert changes == (range(1, 4),)
    assert set(topics) == {number("queue:a"), number("job:b")}


def test_a_step_behind_one_of_somebody_else_is_told_apart() -> None:
    assert read(noticed((["queue:a"], FIRST), (["queue:a"], range(4, 5)))).changes == (FIRST, range(4, 5))


def test_many_steps_between_those_of_others_are_not_named() -> None:
    steps = [(["queue:a"], range(first, first + 1)) for first in range(1, 2 * MOST_RANGES + 2, 2)]

    assert read(noticed(*steps[:-1])).changes
    assert noticed(*steps) == "word"


def test_a_step_that_has_no_number_is_not_named() -> None:
    assert noticed((["queue:a"], FIRST), (["queue:b"], range(0))) == "word"


def test_a_change_without_a_topic_is_not_named() -> None:
    assert noticed((["queue:a"], FIRST), ([], SECOND)) == "word"


def test_many_topics_are_not_named() -> None:
    assert noticed(([f"job:{count}" for count in range(MOST_TOPICS + 1)], FIRST)) == "word"


def test_a_notification_that_names_all_it_may_fits_into_what_the_server_takes() -> None:
    largest = [f"job:{count}" for count in range(MOST_TOPICS)]
    latest = [(largest, range(10**18 + count, 10**18 + count + 1)) for count in range(0, 2 * MOST_RANGES, 2)]

    assert 2_000 < len(noticed(*latest)) < 8_000


def test_nobody_reads_a_name_in_it() -> None:
    assert "secret" not in noticed((["job:secret"], FIRST))


def test_what_was_told_is_not_told_again() -> None:
    notice = Notice("channel", "word")
    notice.add(["queue:a"], FIRST)
    notice.take()
    notice.add(["queue:b"], SECOND)

    assert read(notice.take()).topics == [number("queue:b")]


def test_what_is_told_after_something_unnamed_is_named_again() -> None:
    notice = Notice("channel", "word")
    notice.add(["queue:a"], range(0))
    notice.take()
    notice.add(["queue:b"], SECOND)

    assert read(notice.take()).changes == (SECOND,)


def test_a_text_of_another_release_says_only_that_there_is_something() -> None:
    for rest in ("", " queue:a", " 1", " 1:2 x", " 1 3 7", " -3:2 7", " 2:2 7", " 0:9", " 1:2:3 7", " 1:2, 7"):
        assert read(f"word{rest}").changes == ()


def test_a_text_of_more_ranges_than_anybody_sends_says_no_more() -> None:
    assert read("word " + ",".join(["1:2"] * (MOST_RANGES + 1)) + " 7").changes == ()
