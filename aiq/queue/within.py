"""Enqueueing within a transaction of the caller's, on the connection of his own driver."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar, Unpack

from aiq.coded import sealed
from aiq.errors import InvalidInput
from aiq.job import Job, fresh_id
from aiq.middleware import EnqueueCall, EnqueueMiddleware, through
from aiq.misuse import check_job, check_word, jobs_of
from aiq.model import Enqueued, JobSpec, State
from aiq.needs import Named
from aiq.newjob import JobOptions, NewJob, all_using, specs_of
from aiq.rules.batches import batches
from aiq.storage import Left, Storage, Transactional

R = TypeVar("R")

Wake: TypeAlias = Literal["poll", "notify"]
Meet: TypeAlias = Callable[[Sequence[Named], Sequence[JobSpec]], Awaitable[None]]
_PLACES: Final = {"asyncpg": "$1", "psycopg": "%s", "sqlalchemy": ":content", "sqlite3": "?", "aiosqlite": "?"}
"""How each driver writes the place of a parameter, by the package that its connections are of."""


class Within:
    """The part of a queue that enqueues within one transaction: see `Queue.within`."""

    def __init__(
        self,
        storage: Storage,
        name: str,
        middleware: Sequence[EnqueueMiddleware],
        meet: Meet,
        connection: Any,
        wake: Wake,
    ) -> None:
        # A connection is of any driver's class, hence Any.
        check_word("wake", wake, "poll", "notify")
        self._storage, self._name, self._middleware, self._meet = storage, name, middleware, meet
        self._connection, self._driver, self._wake = connection, _driver_of(connection), wake

    async def enqueue(self, job: NewJob[R], **options: Unpack[JobOptions]) -> Job[R]:
        """Leave a job in the transaction. When that is committed the job is stored, and else never was.

        Until then nothing is known of it: `result()` and the like of the handle belong behind the commit. Limits and
        default prices that it brings are stored at once, where they are absent.

        Raises:
            InvalidInput: an option or a size is out of range, or the connection is in no transaction.
        """
        check_job(job, "enqueue({})")
        chosen = job.using(**options)
        return (await self._leave([chosen], [chosen.chosen.id or fresh_id()]))[0]

    async def enqueue_many(self, jobs: Iterable[NewJob[R]], **options: Unpack[JobOptions]) -> list[Job[R]]:
        """Leave any number of jobs in the transaction. The handles come in their order."""
        if "id" in options:
            raise InvalidInput("One id cannot be that of many jobs. Give each its own: job.using(id=…).")
        chosen = all_using(jobs_of(jobs, "enqueue_many([{}])"), options)
        return await self._leave(chosen, [job.chosen.id or fresh_id() for job in chosen])

    async def _leave(self, jobs: Sequence[NewJob[R]], ids: Sequence[str]) -> list[Job[R]]:
        await _check_begun(self._connection, self._driver)

        async def put(handed: Sequence[NewJob[object]]) -> list[Enqueued]:
            specs = await sealed(self._storage, specs_of(handed, ids, queue_default=self._name))
            await self._meet(handed, specs)
            transactional: Transactional = self._storage  # type: ignore[assignment]  # within() has looked
            # All are checked before the first is left.
            for row in [transactional.left(batch) for batch in batches(specs)]:
                await self._insert(row)
            return [Enqueued(spec.id, State.READY, existed=False) for spec in specs]

        answers = await through(self._middleware, EnqueueCall(tuple(jobs)), put)
        return [
            Job(self._storage, answer.job_id, job.task.decode_result) for job, answer in zip(jobs, answers, strict=True)
        ]

    async def _insert(self, row: Left) -> None:
        # The table is the storage's own word for it, and the place is one of ours.
        text = f"INSERT INTO {row.table} (content) VALUES ({_PLACES[self._driver]})"  # noqa: S608
        await self._run(text, row.content)
        if self._wake == "notify" and row.notice:
            await self._run(row.notice)

    async def _run(self, text: str, *content: bytes) -> None:
        done = self._execute(text, content)
        if inspect.isawaitable(done):
            await done

    def _execute(self, text: str, content: tuple[bytes, ...]) -> object:
        if self._driver == "asyncpg":
            return self._connection.execute(text, *content)
        if self._driver == "sqlalchemy":
            from sqlalchemy import text as clause

            return self._connection.execute(clause(text), {"content": content[0]} if content else {})
        return self._connection.execute(text, content)


def _driver_of(connection: object) -> str:
    found = _found_driver(connection)
    if found is None:
        raise InvalidInput(
            f"within() takes a connection of {', '.join(_PLACES)}, and {type(connection).__name__} is none. "
            "Of an ORM pass its session or connection."
        )
    return found


def _found_driver(connection: object) -> str | None:
    """Whose connection it is: the class may be the user's own, of one of theirs."""
    names = [kind.__module__.partition(".")[0].removeprefix("_") for kind in type(connection).__mro__]
    return next((name for name in names if name in _PLACES), None)


async def _check_begun(connection: Any, driver: str) -> None:
    """Refuse a connection on which each statement would commit by itself: the job would be stored at once."""
    if driver != "sqlalchemy":
        alone = _commits_alone(connection)
    elif hasattr(connection, "run_sync"):
        alone = await connection.run_sync(_commits_alone_below)
    else:
        alone = _commits_alone_below(connection)
    if alone:
        raise InvalidInput("The connection is in no transaction: a job would be stored at once. Begin one first.")


def _commits_alone(connection: Any) -> bool:
    driver = _found_driver(connection)
    if driver == "asyncpg":
        return not connection.is_in_transaction()
    if driver == "psycopg":
        return bool(connection.autocommit) and not connection.info.transaction_status
    if driver in ("sqlite3", "aiosqlite"):
        return connection.isolation_level is None and not connection.in_transaction
    # One that SQLAlchemy knows and we do not, such as psycopg2.
    return bool(getattr(connection, "autocommit", False))


def _commits_alone_below(connection: Any) -> bool:
    """The same of SQLAlchemy's connection or session: it is the driver's below that knows."""
    from sqlalchemy import text as clause

    def below() -> Any:
        found = connection.connection
        # It is a method of a session, which answers the connection that it has.
        return (found().connection if callable(found) else found).driver_connection

    if _commits_alone(below()):
        # The first statement begins the transaction, where there is to be one.
        connection.execute(clause("SELECT 1"))
        return _commits_alone(below())
    return False
