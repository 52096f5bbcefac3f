"""One atomic step on a connection: its instant, the jobs it looked at, what it writes, and whom to wake.

A step decides in Python, and talks to its store in few and large statements: many rows come and go as one JSON text,
so that a hundred jobs are as many statements as one. Row by row the same step cost a sixth more, most of it in the
driver, which lets go of the interpreter and takes it back around every row it reads and every parameter it binds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from aiq.backends.relational.connection import Connection, Parameters, Question, Row
from aiq.backends.relational.rows import SQL as JOBS
from aiq.backends.relational.rows import Job, ids, job_from_row
from aiq.backends.relational.statements import load
from aiq.backends.relational.table import read_table
from aiq.backends.relational.terms import plain
from aiq.model import RetentionSpec, Wait
from aiq.rules.metrics import COLUMNS, MINUTE_MS, nothing
from aiq.storage import events_topic

if TYPE_CHECKING:
    from aiq.backends.relational.admission import Admission
    from aiq.backends.relational.graves import Graves
    from aiq.backends.relational.keys import Keys

SQL: Final = load("transaction")
METRICS: Final = load("metrics")
_NONE: Final[Parameters] = {}
COUNTERS: Final[Question] = (SQL["counters"], _NONE)
"""What asks for the numbers that were given last."""
_encoder: Final = msgspec.json.Encoder(enc_hook=plain)

NEWS_KEPT: Final = 1_000
"""How many numbers back other processes look for what was told; over that they look everywhere."""


@dataclass(slots=True)
class _Gathered:
    """What one statement is to write: rows by key, and the bytes that they point into.

    The bytes begin with one that nobody points to, since SQLite takes an empty value for none at all.
    """

    rows: dict[object, object] = field(default_factory=dict)
    blobs: bytearray = field(default_factory=lambda: bytearray(1))

    def place(self, data: bytes | None) -> tuple[int, int] | None:
        """Put bytes behind the others, and say where they are."""
        if data is None:
            return None
        start = len(self.blobs) + 1
        self.blobs += data
        return start, len(data)

    def parameters(self, now_ms: int) -> Parameters:
        rows = _encoder.encode(list(self.rows.values())).decode()
        return {"rows": rows, "blobs": bytes(self.blobs), "now_ms": now_ms}


class Transaction:
    """A step that is under way. `now_ms` is its one instant; `topics` are told once it is committed."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.topics: set[str] = set()
        self.waits: dict[tuple[int, str], Wait] = {}
        """Waits as they stand in this step, by job and key; see `fan_in`."""
        self.edges: dict[int, list[list[Any]]] = {}
        """Open edges that were read ahead, by upstream; see `fan_in`."""
        self.admission: Admission | None = None
        """What this step knows of admission; see `admission`."""
        self.keys: Keys | None = None
        """What it knows of ordered keys; see `keys`."""
        self.retention: RetentionSpec | None = None
        """What is kept for how long, once it was read; see `retention`."""
        self.graves: Graves | None = None
        """What it does to the dead-letter view; see `graves`."""
        self._jobs: dict[str, Job] = {}
        self._told: set[str] = set()
        self._gathered: dict[str, _Gathered] = {}
        self._counters: list[int] = []
        self._lifo = 0
        self._first_change = 0
        self._minutes: dict[tuple[str, str], list[int]] = {}
        self.logged = 0
        """How many events this step has written."""

    def table(self, sql: str, parameters: Parameters = _NONE) -> list[list[Any]]:
        """Run a statement that answers with a table as one value (see `read_table`), in no order."""
        self.flush()
        return read_table(self.connection, sql, parameters)

    def names(self, sql: str, parameters: Parameters = _NONE) -> list[str]:
        """As `table`, for one of a single column of texts. They come sorted."""
        names: list[str] = msgspec.json.decode(self.rows(sql, parameters)[0][0])
        return sorted(names)

    def numbers(self, sql: str, parameters: Parameters = _NONE) -> list[int]:
        """The same, for numbers."""
        numbers: list[int] = msgspec.json.decode(self.rows(sql, parameters)[0][0])
        return sorted(numbers)

    def rows(self, sql: str, parameters: Parameters = _NONE) -> Sequence[Row]:
        """Run a statement that has few rows, and take them all."""
        self.flush()
        return self.connection.rows(sql, parameters)

    def row(self, sql: str, parameters: Parameters = _NONE) -> Row | None:
        """The first row, if there is any."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def foresee(self, questions: Iterable[Question]) -> None:
        """Say what is about to be asked, so that it goes together. What was gathered is written before."""
        self.flush()
        self.connection.foresee(questions)

    def peek(self, sql: str, parameters: Parameters, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """Read what no gathered row can change: one JSON text, of whatever the decoder makes."""
        return decoder.decode(self.connection.rows(sql, parameters)[0][0])

    def lines(self, sql: str, parameters: Parameters) -> list[str]:
        """The same of one text of many lines."""
        text: str = self.connection.rows(sql, parameters)[0][0]
        return text.split("\n") if text else []

    def run(self, sql: str, parameters: Parameters = _NONE) -> None:
        """Run a statement that has no rows."""
        self.flush()
        self.connection.write(sql, parameters)

    def later(
        self,
        sql: str,
        row: Mapping[str, object] | Sequence[object],
        *,
        key: object = None,
        **blobs: bytes | None,
    ) -> None:
        """Write a row with its like, before the next read or the commit.

        The statement finds all rows in the JSON text :rows, and the instant in :now_ms. For each of the `blobs` a
        row has the place and the length in :blobs under its name. A row of the same key takes the place of the one
        before. Statements that are gathered must not depend on each other: they run in the order in which the
        first row of each came.
        """
        gathered = self._gathered.get(sql)
        if gathered is None:
            gathered = self._gathered[sql] = _Gathered()
        if blobs:
            row = {**cast(Mapping[str, object], row), **{name: gathered.place(data) for name, data in blobs.items()}}
        gathered.rows[len(gathered.rows) if key is None else key] = row

    def later_text(self, sql: str, row: Sequence[object], text: bytes, names: Sequence[object]) -> None:
        """Write a row with its like that has a text, for all of some names. It ends with where the text is in :blobs,
        two places, and with the names.

        A JSON text is so neither taken apart nor put together by the store, which takes longer than all the rest.
        """
        gathered = self._gathered.get(sql)
        if gathered is None:
            gathered = self._gathered[sql] = _Gathered()
        gathered.rows[len(gathered.rows)] = (*row, len(gathered.blobs) + 1, len(text), names)
        gathered.blobs += text

    def flush(self) -> None:
        """Write what was gathered."""
        if self._gathered:
            every, self._gathered = self._gathered, {}
            for sql, gathered in every.items():
                self.connection.write(sql, gathered.parameters(self.now_ms))

    def fetch(self, job_ids: Iterable[str]) -> list[Job]:
        """Read jobs that will be asked for, all at once; those that are stored."""
        known = list(dict.fromkeys(job_ids))
        for question in self.questions(known):
            for row in self.table(*question):
                job = job_from_row(row)
                self._jobs[job.record.id] = job
        return [self._jobs[job_id] for job_id in known if job_id in self._jobs]

    def questions(self, job_ids: Iterable[str]) -> list[Question]:
        """What `fetch` will ask, for `foresee`."""
        unknown = [job_id for job_id in dict.fromkeys(job_ids) if job_id not in self._jobs]
        return [(JOBS["hot"], {"ids": ids(unknown)})] if unknown else []

    def job(self, job_id: str) -> Job | None:
        """The job as it stands now, with what this step has done to it."""
        job = self._jobs.get(job_id)
        if job is None:
            self.fetch([job_id])
        return self._jobs.get(job_id)

    def known(self, job_id: str) -> Job | None:
        """The job as the step sees it, if it has looked at it."""
        return self._jobs.get(job_id)

    def forget(self, job: Job) -> None:
        """A job is about to be written: whoever asks for it next must read it again."""
        self._jobs.pop(job.record.id, None)

    def tell(self, topic: str) -> None:
        """Wake those who wait for a topic that no event of a job stands for, in other processes too. Spec: STORE-6"""
        self.topics.add(topic)
        if topic not in self._told:
            self._told.add(topic)
            self.later(SQL["tell"], (self.next_change(), topic))

    def figures(self, queue: str, task: str) -> list[int]:
        """What this step adds to the present minute of a queue and task. Spec: METRIC-1"""
        found = self._minutes.get((queue, task))
        if found is None:
            found = self._minutes[queue, task] = nothing()
        return found

    def next_number(self) -> int:
        """The place of a new job in the order of enqueueing."""
        return self._next(0)

    def next_position(self) -> int:
        """The place of a job that becomes ready; one counter serves the whole storage."""
        return self._next(1)

    def at_least(self, *, number: int, position: int) -> None:
        """Let the next number and the next position be above these."""
        for which, least in enumerate((number, position)):
            self._next(which)
            self._counters[which] = max(self._counters[which] - 1, least)

    @property
    def any_lifo(self) -> bool:
        """Whether any queue gives the newest first, once a number was given in this step. Spec: LIFO-1"""
        return self._lifo > 0

    def next_change(self) -> int:
        """The number of an event or chunk, or of anything else that others should look at."""
        return self._next(2)

    def next_changes(self, count: int) -> range:
        """As `next_change`, several at once."""
        return self._several(2, count)

    def next_numbers(self, count: int) -> range:
        """As `next_number`, several at once."""
        return self._several(0, count)

    def next_positions(self, count: int) -> range:
        """As `next_position`, several at once."""
        return self._several(1, count)

    @property
    def changes(self) -> range:
        """The numbers that this step has given out with `next_change`."""
        return range(self._first_change, self._counters[2] + 1) if self._counters else range(0)

    def read_counters(self) -> None:
        """Read the numbers that were given last, as whoever gives one does. Before anything is written this
        goes together with other questions.
        """
        if not self._counters:
            *self._counters, self._lifo = self.connection.rows(*COUNTERS)[0]
            self._first_change = self._counters[2] + 1

    def _several(self, which: int, count: int) -> range:
        first = self._next(which)
        self._counters[which] += count - 1
        return range(first, first + count)

    def _next(self, which: int) -> int:
        self.read_counters()
        self._counters[which] += 1
        return self._counters[which]

    def finish(self) -> None:
        """Write what is still to be written, and let go of what is known; the commit follows."""
        if self.admission is not None:
            self.admission.write()
        if self.graves is not None:
            self.graves.write()
        if self.keys is not None:
            self.keys.write()
        if self.logged:
            self.topics.add(events_topic())
        minute_ms = self.now_ms - self.now_ms % MINUTE_MS
        for place, figures in self._minutes.items():
            row = {
                "minute_ms": minute_ms,
                "queue": place[0],
                "task": place[1],
                **dict(zip(COLUMNS, figures, strict=True)),
            }
            self.connection.write(METRICS["add"], row)
        if self._told:
            self.run(SQL["forget_news"], {"last": self._counters[2] - NEWS_KEPT})
        self.flush()
        if self._counters:
            jobs, positions, changes = self._counters
            counters = {"jobs": jobs, "positions": positions, "changes": changes}
            self.connection.write(SQL["count"], {**counters, "events": self.logged})
        # They name the step: it would go only when the collector finds it.
        self.admission = self.graves = self.keys = None
