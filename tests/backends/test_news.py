"""What a process knows of changes that others tell of, in whatever order it hears of them."""

from aiq.backends.relational.news import MANY_AHEAD, Found, News

FIRST, SECOND, THIRD = range(1, 3), range(3, 5), range(5, 6)


def heard(*steps: range) -> News:
    news = News()
    for changes in steps:
        news.hear(["queue:a"], [changes])
    return news


async def is_woken(news: News, mark: str) -> bool:
    return await news.wakeups.wait(["queue:a"], after=mark, timeout_ms=0) != mark


async def marked(news: News) -> str:
    return await news.wakeups.wait(["queue:a"], after=None, timeout_ms=0)


def test_steps_that_are_heard_in_their_order_leave_no_gap() -> None:
    assert heard(FIRST, SECOND, THIRD).lacks is None


def test_a_step_that_is_heard_before_its_predecessor_leaves_a_gap_until_that_is_heard() -> None:
    news = heard(THIRD, SECOND)
    assert news.lacks == 1

    news.hear(["queue:a"], [FIRST])

    assert news.lacks is None
    assert news.heard == THIRD.stop - 1


def test_a_step_of_its_own_fills_a_gap_too() -> None:
    news = heard(SECOND)

    news.publish(["queue:a"], FIRST)

    assert news.lacks is None
    assert news.heard == SECOND.stop - 1


def test_a_step_of_its_own_behind_one_that_was_not_heard_yet_is_remembered() -> None:
    news = News()
    news.publish(["queue:a"], SECOND)

    news.hear(["queue:a"], [FIRST])

    assert news.lacks is None
    assert news.heard == SECOND.stop - 1


async def test_who_waits_is_woken_by_a_step_whose_predecessor_was_not_heard() -> None:
    news = News()
    mark = await marked(news)

    news.hear(["queue:a"], [THIRD])

    assert await is_woken(news, mark)


async def test_nobody_is_woken_by_what_was_known() -> None:
    news = heard(FIRST, SECOND)
    mark = await marked(news)

    news.hear(["queue:a"], [FIRST])

    assert not await is_woken(news, mark)


def test_no_more_steps_are_remembered_than_may_be_ahead_and_the_next_look_forgets_them() -> None:
    news = heard(*(range(first, first + 1) for first in range(3, 3 + 4 * MANY_AHEAD, 2)))
    assert len(news._ahead) == MANY_AHEAD

    news.take(Found(0, 10, None, []))

    assert news.lacks is None


def test_a_lie_about_the_future_is_forgotten_at_the_next_look() -> None:
    news = heard(range(10**9, 10**20))

    news.take(Found(0, 2, None, []))

    assert news.heard == 2
    assert news.lacks is None
