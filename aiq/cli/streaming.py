"""The verb that follows a job's stream: tail."""

import asyncio
from argparse import ArgumentTypeError, Namespace
from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from aiq.cli.exits import Exit
from aiq.cli.facts import chunk_fact, plain
from aiq.cli.output import Output, escaped
from aiq.cli.verbs import Verbs, add_verb, asking
from aiq.job import Job
from aiq.model import Chunk, ChunkKind
from aiq.policy import counted
from aiq.rules.coding import why_unreadable
from aiq.storage import Storage, read

_ALL: Final = frozenset(ChunkKind)
_LAYOUT: Final = "\n\t"
"""What text may hold besides visible characters, and a terminal may be given as it is."""


def add_verbs(verbs: Verbs) -> None:
    """Declare tail."""
    parser = add_verb(
        verbs,
        "tail",
        asking(_tail),
        help="follow the stream of a job to its end: data on stdout as it comes, remarks on stderr",
        example="  aiq tail 019a2b…                            # Ctrl-C stops it, and says how to go on\n"
        "  aiq tail 019a2b… --no-follow > so-far.txt\n"
        "  aiq tail 019a2b… --after 41 --json",
    )
    parser.add_argument("id", metavar="ID", help="the job")
    parser.add_argument("--after", type=_number, default=0, metavar="N", help="only items with a number over N")
    parser.add_argument("--no-follow", action="store_true", help="end with what is there now")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return int(text)


async def _tail(storage: Storage, args: Namespace, output: Output) -> Exit:
    job = Job(storage, args.id, bytes)
    # A job that has ended needs no following, but its end is still to be told.
    follow = not args.no_follow or (await job.state()).terminal
    items = job.stream(args.after, kinds=_ALL) if follow else _stored(storage, args.id, args.after)
    screen = _Screen(output)
    last = args.after
    try:
        async for chunk in items:
            screen.show(chunk)
            last = chunk.number
    except asyncio.CancelledError:
        screen.note(f"Stopped; go on with --after {last}.")
        raise
    finally:
        screen.end()
    return Exit.DONE


async def _stored(storage: Storage, job_id: str, after: int) -> AsyncIterator[Chunk]:
    while True:
        page = await read(storage, job_id, after=after)
        for chunk in page.chunks:
            after = chunk.number
            yield chunk
        if not page.more:
            return


@dataclass(slots=True)
class _Screen:
    """Shows items as they come. Data goes on where the last ended; a remark gets a line of its own."""

    output: Output
    _letters: IncrementalDecoder = field(default_factory=lambda: getincrementaldecoder("utf-8")("replace"))
    _mid_line: bool = False

    def show(self, chunk: Chunk) -> None:
        """Show one item, now."""
        if self.output.json:
            self.output.fact(chunk_fact(chunk))
            self.output.flush()
            return
        match chunk.kind:
            case ChunkKind.DATA if (why := why_unreadable(chunk.data)) is not None:
                self.note(f"[{chunk.number}] {len(chunk.data):,} bytes. {why}.")
            case ChunkKind.DATA:
                self._write(chunk.data)
            case ChunkKind.LOG:
                self.note(f"[{chunk.number}] log: {plain(chunk.data)}")
            case ChunkKind.PROGRESS:
                self.note(f"[{chunk.number}] progress: {plain(chunk.data)}")
            case ChunkKind.RESET:
                self._letters.reset()
                self.note(f"[{chunk.number}] reset: {_taken_back(chunk)}; the job runs again, and goes on below")
            case ChunkKind.END | ChunkKind.ERROR | ChunkKind.CANCELLED:
                # How it ended is told once, by the state; a job without items has that, and no marker.
                return

    def note(self, text: str) -> None:
        """A remark, on a line of its own."""
        self.end()
        self.output.note(text)
        self.output.flush()

    def end(self) -> None:
        """Begin a new line on the terminal if data has not ended one. A file gets its data and nothing else."""
        if self._mid_line:
            self.output.out.write("\n")
            self.output.flush()
        self._mid_line = False

    def _write(self, data: bytes) -> None:
        if self.output.width is None:
            self.output.data(data)
        elif text := escaped(self._letters.decode(data), keep=_LAYOUT):
            # On a terminal it must not be able to command anything.
            self.output.out.write(text)
            self._mid_line = not text.endswith("\n")
        self.output.flush()


def _taken_back(chunk: Chunk) -> str:
    ranges = [str(first) if first == last else f"{first}-{last}" for first, last in chunk.void]
    total = sum(last - first + 1 for first, last in chunk.void)
    return f"{counted(total, 'item')} ({', '.join(ranges)}) no longer count"
