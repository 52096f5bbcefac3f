"""What benchmarks ask alike: which storage they measure, and whether all jobs in it have ended well."""

import argparse
import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

import aiq
from benchmarks.private import STORES, private
from benchmarks.stores import refuse_existing

LOOK_S: Final = 0.05
"""How often is looked whether all is done."""


def storage_parser(doc: str | None, stores: Collection[str] = STORES) -> argparse.ArgumentParser:
    """A command line that begins with the storage, and can be answered by an object for programs."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else "")
    default = next(iter(stores))
    parser.add_argument("--store", choices=stores, default=default, help="on a private server; default: %(default)s")
    parser.add_argument("--url", help="another storage instead, which must be empty and nobody else's; it is removed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


@contextmanager
def asked_storage(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Iterator[str]:
    """The address that was given, if nothing is stored there; else that of a private server, or file."""
    if given.url:
        refuse_existing(parser, given.url)
        yield given.url
    else:
        with private(given.store) as url:
            yield url


async def until_done(queue: aiq.Queue, most_s: float, look: Callable[[], object] = lambda: None) -> int:
    """Wait until no job is left, and look at something else meanwhile, too. How many there were.

    Raises:
        SystemExit: one did not end well, which makes the figures void.
        TimeoutError: it takes longer than anything is to take.
    """
    async with asyncio.timeout(most_s):
        counts = await queue.count()
        while not all(state.terminal for state in counts):
            look()
            await asyncio.sleep(LOOK_S)
            counts = await queue.count()
    if set(counts) - {aiq.State.SUCCEEDED}:
        raise SystemExit(f"Not all jobs succeeded: {counts}. The figures of this run mean nothing.")
    return sum(counts.values())
