"""ls, show, count."""

import pytest

from aiq.model import Band, ChunkKind, JobError, Retried, Sleeping, Succeeded, Suspended, Waiting
from aiq.storage import Storage, append
from aiq.testing.actions import chunks, end, enqueue_one, failed, job, spawn, start, value
from tests.cli.command import aiq, facts, said
from tests.cli.conftest import Stored

ESCAPE = "\x1b[2J"
SHOWN = "\\x1b[2J"


async def four_jobs(storage: Storage) -> None:
    """One that succeeded, one ready and one scheduled; a ready one in another queue."""
    await end(storage, await start(storage, "done"), Succeeded(b"1"))
    await storage.enqueue([job("next"), job("later", delay_ms=3_600_000), job("other", queue="bulk", flow="f")])


def test_jobs_are_listed_in_the_order_they_were_enqueued(url: str, stored: Stored) -> None:
    stored(four_jobs)

    done = aiq("ls", url=url)

    assert done.returncode == 0
    assert [line.split()[:4] for line in done.stdout.splitlines()] == [
        ["ID", "STATE", "QUEUE", "TASK"],
        ["done", "succeeded", "default", "work"],
        ["next", "ready", "default", "work"],
        ["later", "scheduled", "default", "work"],
        ["other", "ready", "bulk", "work"],
    ]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--queue", "bulk"], ["other"]),
        (["--state", "ready"], ["next", "other"]),
        (["--state", "ready", "--state", "succeeded"], ["done", "next", "other"]),
        (["--task", "nothing"], []),
        (["--flow", "f"], ["other"]),
        (["--queue", "default", "--state", "ready"], ["next"]),
        (["--limit", "2"], ["done", "next"]),
    ],
)
def test_a_listing_shows_what_its_filters_let_through(
    words: list[str], ids: list[str], stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(four_jobs)

    status, out, _ = said(capsys, "ls", "--json", *words)

    assert status == 0
    assert [fact["id"] for fact in facts(out)] == ids


def test_a_listing_that_was_cut_says_so(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(four_jobs)

    assert "more than 3" in said(capsys, "ls", "--limit", "3")[2]
    assert said(capsys, "ls", "--limit", "4")[2] == ""


def test_a_listing_goes_on_over_pages(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def two_pages(storage: Storage) -> None:
        for first in (0, 200):
            await storage.enqueue([job(f"job {number}") for number in range(first, first + 200)])

    stored(two_pages)

    out = said(capsys, "ls", "--json", "--limit", "1000")[1]
    assert [fact["id"] for fact in facts(out)] == [f"job {number}" for number in range(400)]


def test_children_are_listed_by_their_parent(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def family(storage: Storage) -> None:
        await spawn(storage, await start(storage, "parent"), "one", "two")

    stored(family)

    out = said(capsys, "ls", "--json", "--parent", "parent")[1]
    assert [(fact["id"], fact["parent_id"]) for fact in facts(out)] == [("one", "parent"), ("two", "parent")]


def test_the_json_of_a_listed_job_has_these_names_and_nothing_personal(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(storage: Storage) -> None:
        options = {"band": Band.HIGH, "tenant": "acme", "queue": "fast", "flow": "f", "max_attempts": 2}
        run = await start(storage, payload=b'"Anna"', **options)
        await end(storage, run, failed(60_000, "Anna is ill"))

    stored(fail)

    (fact,) = facts(said(capsys, "ls", "--json")[1])
    assert fact["created_at_ms"] <= fact["started_at_ms"] < fact["due_ms"]
    assert {name: fact[name] for name in fact if not name.endswith("_ms")} == {
        "id": "job",
        "state": "scheduled",
        "queue": "fast",
        "task": "work",
        "band": "high",
        "attempt": 2,
        "max_attempts": 2,
        "stalls": 0,
        "fence": 1,
        "generation": 1,
        "flow": "f",
        "parent_id": None,
        "origin": None,
        "held": None,
        "held_by": None,
        "route": None,
        "limits": [],
        "tenant": "acme",
        "owner": None,
        "cause": None,
        "wait": None,
        "kept_signals": 0,
        "chunks": 0,
    }
    assert {name for name in fact if name.endswith("_ms")} == {
        "cancel_requested_at_ms",
        "created_at_ms",
        "started_at_ms",
        "finished_at_ms",
        "due_ms",
        "deadline_ms",
        "expires_at_ms",
    }


WAITS = [
    (Suspended("approval", "approval", 60_000), "signal", 0, True),
    (Waiting("parts", None), "children", 2, False),
    (Sleeping("pause", 60_000), "timer", 0, True),
]


@pytest.mark.parametrize(("outcome", "kind", "pending", "ends"), WAITS)
def test_a_job_tells_what_it_waits_for(
    outcome: Suspended | Waiting | Sleeping,
    kind: str,
    pending: int,
    ends: bool,
    stored: Stored,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def park(storage: Storage) -> None:
        run = await start(storage)
        await spawn(storage, run, "one", "two", key="parts")
        await end(storage, run, outcome)

    stored(park)

    (fact,) = facts(said(capsys, "show", "job", "--json")[1])
    until_ms = fact["wait"].pop("until_ms")
    assert fact["wait"] == {"key": outcome.key, "kind": kind, "pending": pending}
    assert (until_ms is not None) is ends
    assert f'"{outcome.key}"' in said(capsys, "show", "job")[1]


def test_a_job_tells_how_many_dependencies_it_waits_for(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def depend(storage: Storage) -> None:
        await storage.enqueue([job("first"), job(depends_on=("first",))])

    stored(depend)

    (fact,) = facts(said(capsys, "show", "job", "--json")[1])
    assert fact["wait"] == {"key": "", "kind": "dependencies", "pending": 1, "until_ms": None}
    assert "waits for dependencies, 1 not ended" in said(capsys, "show", "job")[1]


async def fail_after_a_step(storage: Storage) -> None:
    run = await start(storage, payload=b'{"name":"Anna"}', max_attempts=1)
    await storage.save_step(run.lease, value("plan", b'"ask Anna"'))
    await append(storage, run.lease, chunks("0.5", kind=ChunkKind.PROGRESS))
    error = JobError(type="ValueError", message="no\x1b[2J", traceback='File "a.py", line 1\nValueError: no')
    await end(storage, run, Retried(error, 0))


def test_all_about_a_job_is_shown_for_people(url: str, stored: Stored) -> None:
    stored(fail_after_a_step)

    done = aiq("show", "job", url=url)

    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "job"
    assert "  state     dead: handler: ValueError" in lines
    assert "  attempt   1 of 1" in lines
    assert "  progress  0.5" in lines
    assert any(line.startswith("  attempt 1, ") and line.endswith("ValueError: no\\x1b[2J") for line in lines)
    assert '    File "a.py", line 1' in lines
    assert "  plan  value, run 1, 10 bytes" in lines
    assert any(line.startswith("  finished  20") for line in lines)


def test_all_about_a_job_is_told_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(fail_after_a_step)

    (fact,) = facts(said(capsys, "show", "job", "--json")[1])

    (error,) = fact["errors"]
    assert (error["type"], error["message"], error["attempt"], error["cause"]) == (
        "ValueError",
        "no\x1b[2J",
        1,
        "handler",
    )
    assert fact["steps"] == [{"key": "plan", "kind": "value", "fence": 1, "bytes": 10}]
    assert fact["progress"] == 0.5
    assert fact["cause"] == "handler"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_may_be_personal_is_shown_only_when_asked_for(
    form: list[str], stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    async def finish(storage: Storage) -> None:
        run = await start(storage, payload=b'"Anna"')
        await storage.save_step(run.lease, value("plan", b'"ask Anna"'))
        await end(storage, run, Succeeded(b'"Anna is well"'))

    stored(finish)

    assert "Anna" not in said(capsys, "ls", *form)[1]
    assert "Anna" not in said(capsys, "show", "job", *form)[1]
    assert said(capsys, "show", "job", "--payload", *form)[1].count("Anna") == 3


def test_payload_result_and_steps_are_values_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def finish(storage: Storage) -> None:
        run = await start(storage, payload=b'{"v":1}')
        await storage.save_step(run.lease, value("plan", b"[1]"))
        await end(storage, run, Succeeded(b'"well"'))

    stored(finish)

    (fact,) = facts(said(capsys, "show", "job", "--payload", "--json")[1])
    assert (fact["payload"], fact["result"], fact["steps"][0]["value"]) == ({"v": 1}, "well", [1])


@pytest.mark.parametrize(
    ("payload", "name", "told"),
    [
        (b"no json", "payload_text", "no json"),
        (b"NaN", "payload_text", "NaN"),
        (b"\xff\x00", "payload_base64", "/wA="),
        (b"[" * 5_000 + b"]" * 5_000, "payload_text", "[" * 5_000 + "]" * 5_000),
    ],
)
def test_bytes_that_are_no_json_are_shown_all_the_same(
    payload: bytes, name: str, told: str, stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(lambda storage: enqueue_one(storage, payload=payload))

    (fact,) = facts(said(capsys, "show", "job", "--payload", "--json")[1])
    assert fact[name] == told
    assert "payload" not in fact
    assert said(capsys, "show", "job", "--payload")[0] == 0


def test_every_step_is_shown_over_pages(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def remember(storage: Storage) -> None:
        run = await start(storage)
        for number in range(300):
            await storage.save_step(run.lease, value(f"step {number:03}"))

    stored(remember)

    (fact,) = facts(said(capsys, "show", "job", "--json")[1])
    assert [step["key"] for step in fact["steps"]] == [f"step {number:03}" for number in range(300)]


def test_names_that_others_chose_cannot_command_the_terminal(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = f"id{ESCAPE}"

    async def attack(storage: Storage) -> None:
        run = await start(storage, hostile, payload=ESCAPE.encode(), tenant=ESCAPE, flow=ESCAPE)
        await storage.save_step(run.lease, value(f"step{ESCAPE}"))
        await append(storage, run.lease, chunks(f'"{ESCAPE}"', kind=ChunkKind.PROGRESS))
        await end(storage, run, Suspended(f"wait{ESCAPE}", "approval"))

    stored(attack)

    for words in (["ls"], ["show", hostile, "--payload"], ["ls", "--json"], ["show", hostile, "--payload", "--json"]):
        status, out, err = said(capsys, *words)
        assert status == 0
        assert "\x1b" not in out + err
    assert f"id{SHOWN}" in said(capsys, "ls")[1]
    assert SHOWN in said(capsys, "show", f"no{ESCAPE}")[2]


def test_jobs_are_counted_by_queue_and_state(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(four_jobs)

    assert [line.split() for line in aiq("count", url=url).stdout.splitlines()] == [
        ["QUEUE", "SCHEDULED", "READY", "SUCCEEDED"],
        ["bulk", "0", "1", "0"],
        ["default", "1", "1", "1"],
    ]
    assert facts(said(capsys, "count", "--json")[1]) == [
        {"default": {"scheduled": 1, "ready": 1, "succeeded": 1}, "bulk": {"ready": 1}}
    ]


def test_one_queue_is_counted_alone(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(four_jobs)

    assert facts(said(capsys, "count", "--queue", "bulk", "--json")[1]) == [{"bulk": {"ready": 1}}]


def test_a_job_that_is_not_stored_is_a_no(stored: Stored, url: str) -> None:
    stored(four_jobs)

    done = aiq("show", "nothing", url=url)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "aiq: No job 'nothing' is stored here. Check the id, and the address of the storage.\n"


def test_jobs_are_narrowed_by_tenant_and_time(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def enqueue(storage: Storage) -> None:
        await enqueue_one(storage, "ours", tenant="acme")
        await enqueue_one(storage, "later", tenant="acme", delay_ms=60_000)
        await enqueue_one(storage, "theirs", tenant="other")

    stored(enqueue)

    def listed(*words: str) -> list[str]:
        return [str(fact["id"]) for fact in facts(said(capsys, "ls", "--json", *words)[1])]

    assert listed("--tenant", "acme") == ["ours", "later"]
    assert listed("--tenant", "acme", "--since", "1h") == ["ours", "later"]
    assert listed("--until", "1h") == []
    assert listed("--due-since", "2000-01-01T00:00:00Z") == ["later"]
    assert listed("--ended-since", "7d") == []
    (counts,) = facts(said(capsys, "count", "--tenant", "acme", "--json")[1])
    assert counts == {"default": {"ready": 1, "scheduled": 1}}


def test_what_is_no_instant_is_refused(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    with pytest.raises(SystemExit):
        said(capsys, "ls", "--since", "2027-01-01")
    assert "30m, 2h or 7d" in capsys.readouterr().err
