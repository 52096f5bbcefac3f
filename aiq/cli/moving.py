"""Verbs that move a storage to another address: export, import."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import parse_qsl, urlsplit

from aiq.cli.exits import Exit
from aiq.cli.output import Output
from aiq.cli.verbs import Verbs, add_verb, asking
from aiq.errors import InvalidInput
from aiq.job import fresh_id
from aiq.moving import lines, load_lines
from aiq.storage import Storage

_TOLD: Final = 1_000
"""How many records go by between two words on how far it has come."""
_NAMING: Final = {"namespace": "default", "schema": "aiq", "db": "0"}
"""The settings of an address that name one of the storages of a server, and what they are where it has none."""


def add_verbs(verbs: Verbs) -> None:
    """Declare export and import."""
    export = add_verb(
        verbs,
        "export",
        asking(_export),
        help="retire the storage in favour of another address, and write everything it holds as lines of JSON",
        example=(
            "  aiq export --url sqlite:///jobs.db --moved-to sqlite:///new.db | aiq import --url sqlite:///new.db\n"
            "  aiq export --url sqlite:///jobs.db --undo     # the move failed: open it again"
        ),
    )
    export.add_argument("--moved-to", metavar="URL", help="where the jobs go on; later writes here name it")
    export.add_argument("--to", type=Path, metavar="FILE", help="where the lines go (standard output)")
    export.add_argument("--undo", action="store_true", help="open a storage again that was retired; writes nothing")
    load = add_verb(
        verbs,
        "import",
        asking(_import, makes=True),
        help="take in what export wrote, into an empty storage; repeated after a failure it goes on",
        example="  aiq import jobs.export --url sqlite:///new.db",
    )
    load.add_argument("file", nargs="?", type=Path, metavar="FILE", help="what export wrote (standard input)")


async def _export(storage: Storage, args: Namespace, output: Output) -> Exit:
    if args.undo:
        await storage.retire(None)
        output.note(f"{storage.url} is open again.")
        return Exit.DONE
    if args.moved_to is None:
        raise InvalidInput(
            "Say with --moved-to where the jobs go on: nothing else may write here from then on, else what is "
            "written between two lines would be lost."
        )
    _refuse_itself(storage.url, args.moved_to)
    try:
        count = await _write(storage, args, output)
    except (BrokenPipeError, asyncio.CancelledError):
        output.note(
            f"The export is not whole. {storage.url} is retired: export it again, or open it with `aiq export --undo`."
        )
        raise
    output.note(f"{count:,} records. {storage.url} now names {args.moved_to} to all who write to it.")
    return Exit.DONE


async def _write(storage: Storage, args: Namespace, output: Output) -> int:
    """Retire a storage and write what it holds; say how many records that were."""
    count = 0
    with _written(args.to) as file:
        move_id = await storage.retire(args.moved_to, fresh_id())
        async for line in lines(storage, move_id):
            file.write(line + b"\n")
            count += 1
            # In a pipe it is for the import to say how far they are.
            if args.to is not None and count % _TOLD == 0:
                output.progress(f"{count:,} records")
    return count - 2


async def _import(storage: Storage, args: Namespace, output: Output) -> Exit:
    try:
        with _read(args.file) as file:
            count = await load_lines(storage, _told(file, output))
    except asyncio.CancelledError:
        output.note(f"The import is not over, and nothing else can write to {storage.url}. Repeat it, and it goes on.")
        raise
    output.fact({"records": count, "url": storage.url}, f"{count:,} records are in {storage.url}, which is open now.")
    return Exit.DONE


def _told(file: BinaryIO, output: Output) -> Iterator[bytes]:
    """The lines, while it is said how many there were."""
    for number, line in enumerate(file):
        if number % _TOLD == 0:
            output.progress(f"{number:,} records")
        yield line
    output.progress("")


def _refuse_itself(url: str, moved_to: str) -> None:
    """Refuse to retire a storage in favour of itself.

    Raises:
        InvalidInput: the two addresses name one storage.
    """
    if _place(url) == _place(moved_to):
        raise InvalidInput(f"{moved_to} is this storage itself. Say with --moved-to to which other one it moves.")


def _place(url: str) -> str:
    """What an address names, without how it is opened."""
    if not url.lower().startswith("sqlite://"):
        found = urlsplit(url)
        named = {name: value for name, value in parse_qsl(found.query) if name in _NAMING}
        hosts = found.netloc.rpartition("@")[2]  # one of the two addresses may hide its password
        return f"{found.scheme}://{hosts}{found.path} {sorted({**_NAMING, **named}.items())}"
    from aiq.backends.sqlite.address import parse

    return str(parse(url).path.resolve())


@contextmanager
def _written(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    try:
        file = path.open("xb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be made ({error.strerror}). Name a file that is not there yet.") from error
    with file:
        yield file


@contextmanager
def _read(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read ({error.strerror}). Name the file that `aiq export` wrote."
        ) from error
    with file:
        yield file
