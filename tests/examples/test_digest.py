"""The main job from outside: a process, its exit status, its one object of JSON, and the simulator's ledger."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aiq import JobFilter, Price, Queue
from aiq.backends import migrate_storage, open_storage
from aiq.testing.provider import Entry, Outcome, Provider, read_ledger
from tests.postgres_servers import postgres_server
from tests.servers import server

PROGRAM = Path(__file__).parent.parent.parent / "examples" / "digest.py"
TIMEOUT_S = 120.0
DOCUMENTS = {
    "alpha.md": 1,
    "beta.md": 2,
    "sub/gamma.txt": 4,
}
"""How long each is, so that they do not all end at the same moment."""


@dataclass(frozen=True)
class Place:
    """A folder of three documents, and where everything of its digest goes."""

    root: Path
    elsewhere: str = ""
    """Where the jobs are, if that is not a file here."""

    @property
    def output(self) -> Path:
        return self.root / "digest.md"

    @property
    def url(self) -> str:
        return self.elsewhere or f"sqlite:///{self.root}/digest.db"

    def command(self, *options: str) -> list[str]:
        names = ["--url", self.url, "--output", str(self.output), "--ledger", str(self.root / "calls.jsonl")]
        return [sys.executable, str(PROGRAM), str(self.root / "documents"), "--json", *names, *options]

    def start(self, *options: str, answers: str = "", provider: str = "http://127.0.0.1:1/v1") -> "Ended":
        done = subprocess.run(
            self.command(*options),
            input=answers,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=environment(provider),
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def calls(self) -> tuple[Entry, ...]:
        ledger = self.root / "calls.jsonl"
        return read_ledger(ledger) if ledger.exists() else ()

    def processes(self) -> list[str]:
        """Whatever still runs and names this place."""
        listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        return [line for line in listing.splitlines() if str(self.root) in line]


@dataclass(frozen=True)
class Ended:
    status: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        assert self.stdout.count("\n") == 1, self.stderr
        return json.loads(self.stdout)


def environment(provider: str = "http://127.0.0.1:1/v1") -> dict[str, str]:
    """A trap, unless a provider is given: whoever heeds these asks an address where nobody listens."""
    proxy = {"HTTP_PROXY": "http://127.0.0.1:1"} if provider.endswith(":1/v1") else {}
    return {**os.environ, "OPENAI_BASE_URL": provider, "OPENAI_API_KEY": "real", **proxy}


def make_place(root: Path) -> Place:
    for name, paragraphs in DOCUMENTS.items():
        path = root / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_about(path.stem, paragraphs), encoding="utf-8")
    return Place(root)


def text_about(subject: str, paragraphs: int) -> str:
    return "\n\n".join(
        f"The {subject} of chapter {number} keeps its harbour open in every season. Ships that reach the {subject} "
        f"carry salt, timber and letters number {number}. A keeper of the {subject} counts them by lantern light. "
        f"Storms close the harbour of the {subject}, and the keeper waits with the ships for {number} days. "
        f"Letters that came late to chapter {number} are read aloud, and the salt is weighed again by the keeper."
        for number in range(1, paragraphs * 3 + 1)
    )


def until(satisfied: Callable[[], bool], what: str) -> None:
    """Look again and again until it is so; nothing here depends on how long that takes."""
    deadline = time.monotonic() + TIMEOUT_S
    while not satisfied():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Ended]:
    place = make_place(tmp_path_factory.mktemp("digest"))
    return place, place.start()


def test_a_folder_is_digested_with_one_call_a_document_and_one_for_the_overview(
    published: tuple[Place, Ended],
) -> None:
    place, ended = published

    assert ended.status == 0, ended.stderr
    assert [document["name"] for document in ended.report["documents"]] == sorted(DOCUMENTS)
    assert [call.outcome for call in place.calls()] == [Outcome.ANSWERED] * 4
    page = place.output.read_text(encoding="utf-8")
    assert all(f"## {name}" in page for name in DOCUMENTS)
    assert place.processes() == []


def test_a_second_start_asks_nothing_and_leaves_the_file_alone(published: tuple[Place, Ended]) -> None:
    place, first = published
    written, calls = place.output.stat(), place.calls()

    second = place.start()

    assert second.status == 0, second.stderr
    assert (second.report["job"], second.report["existed"]) == (first.report["job"], True)
    assert second.report["calls"]["new"] == 0
    assert place.calls() == calls
    assert (place.output.stat().st_mtime_ns, place.output.stat().st_ino) == (written.st_mtime_ns, written.st_ino)


def test_the_books_have_what_the_provider_counted_at_its_price(published: tuple[Place, Ended]) -> None:
    place, ended = published
    counted = {
        "input": sum(call.tokens_in for call in place.calls()),
        "output": sum(call.tokens_out for call in place.calls()),
    }

    spent = ended.report["costs"]["spent"]

    assert {part["category"]: part["tokens"] for part in spent} == counted
    assert {(part["model"], part["estimated"]) for part in spent} == {("simulated", 0)}
    dollars = counted["input"] * Decimal("2.50") / 10**6, counted["output"] * Decimal(10) / 10**6
    for part, exact in zip(spent, dollars, strict=True):
        # The cost of each of the four calls is rounded up to a millionth of a dollar.
        assert exact <= Decimal(part["usd"]) <= exact + 4 * Decimal("0.000001")


def in_redis() -> str:
    return server().url("digest")


def in_postgres() -> str:
    url = postgres_server().url("digest")
    asyncio.run(migrate_storage(url))
    return url


@pytest.mark.parametrize("where", [in_redis, in_postgres])
def test_the_same_program_runs_on_a_server(tmp_path: Path, where: Callable[[], str]) -> None:
    place = replace(make_place(tmp_path), elsewhere=where())

    first, second = place.start(), place.start()

    assert (first.status, second.status) == (0, 0), first.stderr + second.stderr
    assert len(place.calls()) == 4
    assert not list(tmp_path.glob("*.db"))


def test_a_digest_waits_for_its_person_over_starts_and_is_not_published_against_a_no(tmp_path: Path) -> None:
    place = make_place(tmp_path)

    unanswered = place.start("--approve")
    calls = place.calls()
    refused = place.start("--approve", answers="perhaps\nn\n")

    assert (unanswered.status, unanswered.report["state"]) == (3, "suspended")
    assert (refused.status, refused.report["state"]) == (3, "succeeded")
    assert refused.report["published"] is None
    assert not place.output.exists()
    assert place.calls() == calls


def test_only_live_asks_the_provider_that_the_environment_names(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    asyncio.run(price(place, "mine"))

    with Provider() as provider:
        ended = place.start("--live", "--model", "mine", provider=provider.base_url)

    assert ended.status == 0, ended.stderr
    assert "costs money" in ended.stderr
    assert ended.report["calls"] is None
    assert [(call.model, call.outcome) for call in provider.ledger.entries()] == [("mine", Outcome.ANSWERED)] * 4


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--live",), "--model"),
        (("--live", "--model", "without-a-price"), 'put_prices([Price("without-a-price", "input"'),
        (("--url", "memory://"), "sqlite:///"),
        (("--output", "/no/such/folder/digest.md"), "/no/such/folder"),
        (("--url", "sqlite:///no/such/folder/digest.db"), "no/such/folder"),
    ],
)
def test_what_cannot_work_is_said_at_once(tmp_path: Path, options: tuple[str, ...], hint: str) -> None:
    ended = make_place(tmp_path).start(*options)

    assert ended.status == 2
    assert hint in ended.stderr
    assert ended.stdout == ""


@pytest.mark.faults
def test_the_proof_kills_a_worker_and_finds_that_only_what_it_cut_was_asked_again(tmp_path: Path) -> None:
    place = make_place(tmp_path)

    ended = place.start("--prove")

    assert ended.status == 0, ended.stderr
    proof = ended.report["proof"]
    done = [account for account in proof["accounts"] if account["at_the_kill"] == "done"]
    assert proof["kills"] == 1
    assert done
    assert all((account["calls"], account["answered"]) == (1, 1) for account in done)
    assert "cut, asked again" in {account["verdict"] for account in proof["accounts"]}
    assert place.processes() == []


@pytest.mark.faults
def test_limits_make_jobs_wait_and_save_the_refusals_of_the_same_run_without_them(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "documents").mkdir()
    for number in range(10):
        (tmp_path / "documents" / f"{number}.md").write_text(text_about(f"isle{number}", 1), encoding="utf-8")

    ended = place.start("--prove")

    assert ended.status == 0, ended.stderr
    costs = ended.report["costs"]
    assert costs["waited_s"] > 0
    assert "Why does" in ended.stderr
    assert costs["without"]["answered"] == 11
    assert costs["calls"]["refused"] < costs["without"]["refused"]
    assert {part["category"]: part["estimated"] > 0 for part in costs["spent"]} == {"input": True, "output": True}


@pytest.mark.faults
def test_a_killed_program_leaves_nothing_behind_and_goes_on_where_it_was(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    program = subprocess.Popen(place.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    until(lambda: {Outcome.ANSWERED, Outcome.RUNNING} <= {call.outcome for call in place.calls()}, "half of the work")
    until(lambda: bool(asyncio.run(remembered_in(place))), "a step that is remembered")
    program.send_signal(signal.SIGKILL)
    program.wait()
    until(lambda: not place.processes(), "the end of its children")
    remembered = asyncio.run(remembered_in(place))

    ended = place.start()

    assert ended.status == 0, ended.stderr
    calls = Counter(call.idempotency_key for call in place.calls())
    assert remembered
    assert {key: calls[key] for key in remembered} == dict.fromkeys(remembered, 1)


async def price(place: Place, model: str) -> None:
    """A model under a budget in money needs a price."""
    async with Queue(place.url) as queue:
        await queue.admin.put_prices([Price(model, "input", 1), Price(model, "output", 4)])


async def remembered_in(place: Place) -> list[str]:
    """The keys of the calls whose answers are stored."""
    storage = await open_storage(place.url)
    try:
        jobs = (await storage.list(JobFilter())).jobs
        return [
            f"{job.id}/{step.key}" for job in jobs for step in await storage.get_steps(job.id) if step.key == "summary"
        ]
    finally:
        await storage.close()
