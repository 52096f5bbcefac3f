"""Worker processes, and what a test does to them. Each is ended by its own pid, whatever happens."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import notes
from tests.chaos.notes import DEADLINE_S, LOOK_S, Note

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's history, as it is stored."""

    at_ms: int
    transition: str
    target: str
    fence: int


class Member:
    """One worker process."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.pid, self._log = process, process.pid, log

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.process.poll() is None:
            os.kill(self.pid, number)

    async def ended(self, within_s: float = DEADLINE_S) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.to_thread(self.process.wait, within_s)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        await self.ended()

    def state(self) -> str:
        """What the system says of it: T when it is stopped."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()


class Fleet:
    """The workers of one test, their file, and their notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "jobs.db"
        self.url = f"sqlite:///{self.path}"
        self.members: list[Member] = []

    def launch(self, **options: object) -> Member:
        """Start a worker process, with any options of Worker that JSON can carry."""
        return self.start("tests.chaos.program", self.url, json.dumps(options))

    def start(self, module: str, *arguments: str) -> Member:
        """Start a module as a process."""
        log = self.folder / f"log.{len(self.members)}"
        command = [sys.executable, "-m", module, *arguments]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, notes.PLACE: str(self.folder)}
            )
        self.members.append(Member(process, log))
        return self.members[-1]

    async def up(self, **options: object) -> Member:
        """Start a worker process, and wait until it works."""
        member = self.launch(**options)
        await self.noted("up", pid=member.pid)
        return member

    def is_up(self, member: Member) -> bool:
        """Whether a worker process has begun to work; a cheaper look than into the notes."""
        return (self.folder / f"up.{member.pid}").exists()

    async def revive_until(self, over: Callable[[], Awaitable[bool]], **options: object) -> int:
        """Keep one worker running, however often it is killed, until `over`; how often that was."""
        worker, deaths = self.launch(**options), 0

        async def revived() -> bool:
            nonlocal worker, deaths
            if worker.process.poll() is not None:
                assert worker.process.returncode == -signal.SIGKILL, worker.log()
                worker, deaths = self.launch(**options), deaths + 1
            return await over()

        await self.until(revived, "it is over")
        return deaths

    async def freeze(self, member: Member) -> None:
        """SIGSTOP, at a moment when the process does not write.

        One that stands still in the middle of a write keeps the file's lock, and no other process can take it: with
        SQLite everybody waits until it goes on or dies. That is not what these tests are about.
        """
        while True:
            member.send(signal.SIGSTOP)
            await self.until(lambda: member.state() == "T", "it stands still")
            if self._writable():
                return
            member.send(signal.SIGCONT)
            await asyncio.sleep(LOOK_S)

    def _writable(self) -> bool:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=0.05)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    def member(self, pid: int) -> Member:
        return next(member for member in self.members if member.pid == pid)

    def open(self, gate: str) -> None:
        """Let handlers go on that wait at a gate."""
        (self.folder / gate).touch()

    def notes(self, what: str | None = None, job: str | None = None) -> list[Note]:
        return notes.read(self.folder, what, job)

    async def noted(
        self, what: str, job: str | None = None, *, pid: int | None = None, fence: int | None = None
    ) -> Note:
        """The first note of this kind, once it is there."""

        def found() -> list[Note]:
            kind = self.notes(what, job)
            return [note for note in kind if pid in (None, note.pid) and fence in (None, note.fence)]

        await self.until(lambda: bool(found()), f"{what} {job or ''}")
        return found()[0]

    async def until(self, true: Callable[[], bool | Awaitable[bool]], what: str, within_s: float = DEADLINE_S) -> None:
        """Wait until something is true. If it never is, tell what the processes have said."""
        try:
            await notes.until(true, what, within_s)
        except TimeoutError as error:
            logs = (f"-- {member.pid} {member.process.poll()}\n{member.log()[-2000:]}" for member in self.members)
            raise AssertionError("\n".join([str(error), *logs])) from None

    def history(self, job_id: str) -> list[Event]:
        """What was recorded of a job, oldest first."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT at_ms, transition, target, fence FROM aiq_events "
                "WHERE n = (SELECT n FROM aiq_jobs WHERE id = ?) ORDER BY number",
                (job_id,),
            ).fetchall()
        return [Event(*row) for row in rows]

    def end(self) -> None:
        """End what still runs, each by its own pid."""
        for member in self.members:
            member.send(signal.SIGKILL)
        for member in self.members:
            member.process.wait(DEADLINE_S)


def terminal(history: Iterable[Event]) -> list[str]:
    """The terminal states that a job has come to; there should be one."""
    return [event.target for event in history if event.target in ("succeeded", "dead", "cancelled")]
