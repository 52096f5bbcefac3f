"""Moving everything from one storage to another: as records in between, in a file or a pipe, or without."""

from collections.abc import AsyncIterator, Iterable
from typing import Final

import msgspec

from aiq.bounds import MAX_PAGE, MAX_PAGE_BYTES
from aiq.errors import Conflict, InvalidInput, Moved
from aiq.job import fresh_id
from aiq.model import moving
from aiq.rules.moving import size_of
from aiq.storage import Storage, queue_topic

FORM: Final = 1
"""The form of the lines. A release that writes another one still reads this."""


class Head(msgspec.Struct, frozen=True, tag="aiq"):
    """The first line: the form of the others, a name for the move, and where the records come from."""

    form: int
    move: str
    source: str


class End(msgspec.Struct, frozen=True, tag="end"):
    """The last line: how many records there were, so that a file which was cut off is known as such."""

    records: int


_encoder: Final = msgspec.json.Encoder(enc_hook=dict)
_decoder: Final = msgspec.json.Decoder(Head | moving.Record | End)


async def dumped(storage: Storage, limit: int = MAX_PAGE) -> AsyncIterator[moving.Record]:
    """Everything that a storage holds, in the order in which it is to be loaded.

    Raises:
        StorageError: it cannot be read.
    """
    cursor: str | None = None
    while True:
        page = await storage.dump(cursor=cursor, limit=limit)
        for record in page.records:
            yield record
        cursor = page.cursor
        if cursor is None:
            return


async def lines(storage: Storage, move_id: str | None = None) -> AsyncIterator[bytes]:
    """The same as lines of JSON, with a first and a last one around them. `move_id` is what `retire` has answered."""
    yield _encoder.encode(Head(FORM, move_id or fresh_id(), storage.url))
    count = 0
    async for record in dumped(storage):
        yield _encoder.encode(record)
        count += 1
    yield _encoder.encode(End(count))


class Loader:
    """Takes in records, as many at a time as one load may hold. It counts them; `end` opens the storage."""

    def __init__(self, storage: Storage, move_id: str) -> None:
        self._storage, self._move_id = storage, move_id
        self._batch: list[moving.Record] = []
        self._bytes = 0
        self.count = 0

    async def take(self, record: moving.Record) -> None:
        """Take in one more.

        Raises:
            Conflict("occupied"): the storage holds jobs of its own.
        """
        self._batch.append(record)
        self._bytes += size_of(record)
        self.count += 1
        if len(self._batch) == MAX_PAGE or self._bytes >= MAX_PAGE_BYTES:
            await self._send()

    async def end(self) -> None:
        """There are no more."""
        await self._send(last=True)

    async def _send(self, *, last: bool = False) -> None:
        await self._storage.load(self._move_id, self._batch, last=last)
        self._batch, self._bytes = [], 0


async def load_lines(storage: Storage, text: Iterable[bytes]) -> int:
    """Take in what `lines` gave, and say how many records that were. Repeating it after a failure goes on.

    Raises:
        InvalidInput: the lines are no export, or end before their end; the storage waits for the rest then.
        Conflict("occupied"): the storage holds jobs of its own, or another move is under way.
    """
    loader: Loader | None = None
    for number, line in enumerate(text, start=1):
        read = _read(line, number)
        if isinstance(read, Head):
            loader = Loader(storage, read.move)
        elif loader is None:
            raise InvalidInput("This is no export of aiq: it does not begin as one. Make one with `aiq export`.")
        elif isinstance(read, End):
            if read.records != loader.count:
                raise InvalidInput(f"{read.records:,} records were exported, and {loader.count:,} came. Export anew.")
            await loader.end()
            return loader.count
        else:
            await loader.take(read)
    raise InvalidInput("The export ends before its end: it was cut off. Export again, and import the whole file.")


async def move(source: Storage, target: Storage) -> int:
    """Retire a storage in favour of another one that is empty, move everything there, and say how many records that
    were. After a failure on the way, move again, which goes on, or open the source with `source.retire(None)`.

    Raises:
        Conflict("occupied"): the target holds jobs of its own. The source is as open as it was.
        Conflict("moved"): the source has moved to another address.
        Moved: the target has itself moved. The source is as open as it was.
    """
    if await _moved_to(source) is None:
        # A move of nothing, at once at its end: refused by whatever would refuse this one, before anybody is told.
        await target.load(fresh_id(), [], last=True)
    move_id = await _begin(source, target)
    loader = Loader(target, move_id)
    async for record in dumped(source):
        await loader.take(record)
    await loader.end()
    return loader.count


async def _begin(source: Storage, target: Storage) -> str:
    """Retire the source and let the target wait for it; the name of the move.

    A source that was open before is opened again when the target refuses all the same: a job has come there meanwhile.
    """
    mine = fresh_id()
    move_id = await source.retire(target.url, mine)
    try:
        await target.load(move_id, [])
    except (Conflict, Moved):
        # What was retired before may have been loaded before: to open it could let jobs run twice.
        if move_id == mine:
            await source.retire(None)
        raise
    return move_id


async def _moved_to(storage: Storage) -> str | None:
    """Where a storage has moved, None if it has not: a wait tells it, and writes nothing."""
    topics = {queue_topic("default")}
    try:
        await storage.wait(topics, after=await storage.wait(topics, after=None, timeout_ms=0), timeout_ms=0)
    except Moved as moved:
        return moved.url
    return None


def _read(line: bytes, number: int) -> Head | moving.Record | End:
    try:
        read: Head | moving.Record | End = _decoder.decode(line)
    except msgspec.MsgspecError as error:
        raise InvalidInput(
            f"Line {number:,} is no record of an export ({error}). Export again, with the same version of aiq."
        ) from error
    if isinstance(read, Head) and read.form != FORM:
        raise InvalidInput(f"The export is of form {read.form}, and this version of aiq reads {FORM}. Upgrade aiq.")
    return read
