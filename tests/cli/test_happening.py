"""events, metrics, retention, and the events of one job."""

import pytest

from aiq.model import Keep
from aiq.storage import Storage
from aiq.testing.actions import GOOD, end_one, enqueue_one
from tests.cli.command import facts, said, within
from tests.cli.conftest import Stored


async def one_good(storage: Storage) -> None:
    await enqueue_one(storage)
    await end_one(storage, GOOD)


def test_events_tell_what_happened_and_where_to_go_on(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(one_good)
    told = facts(said(capsys, "events", "--json")[1])
    assert [(one["job_id"], one["transition"], one["target"]) for one in told] == [
        ("job", "enqueue", "ready"),
        ("job", "claim", "running"),
        ("job", "succeed", "succeeded"),
    ]
    rest = said(capsys, "events", "--after", told[1]["cursor"])[1]
    assert "job  work  succeed  running -> succeeded" in rest
    assert len(rest.splitlines()) == 1
    status, _, advice = said(capsys, "events", "--after", "x")
    assert (status, "cursor" in advice) == (2, True)
    status, _, advice = said(capsys, "events", "--after", "1-0123456789abcdef")
    assert (status, "another storage" in advice) == (1, True)


def test_show_tells_the_events_of_one_job(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_good)
    told = facts(said(capsys, "show", "job", "--events", "--json")[1])
    assert [one["number"] for one in told] == [1, 2, 3]


def test_metrics_are_shown_by_minute(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_good)
    told = facts(said(capsys, "metrics", "--hours", "1000000", "--json")[1])
    assert sum(one["succeeded"] for one in told) == 1
    table = said(capsys, "metrics", "--hours", "1000000", "--task", "work")[1]
    assert table.splitlines()[0].startswith("MINUTE")
    assert "default" in table


def test_retention_is_shown_and_set(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_good)
    assert "succeeded  7d    all" in said(capsys, "retention")[1]
    (told,) = facts(said(capsys, "retention", "set", "succeeded", "--for", "12h", "--count", "500", "--json")[1])
    assert told["succeeded"] == {"for_ms": 12 * 3_600_000, "count": 500}
    said(capsys, "retention", "set", "succeeded", "--for", "ever")
    said(capsys, "retention", "set", "ids", "--for", "5m")
    spec = within(url, lambda storage: storage.get_retention())
    assert (spec.succeeded, spec.ids_ms) == (Keep(count=500), 300_000)
    with pytest.raises(SystemExit):
        said(capsys, "retention", "set", "dead", "--for", "soon")
