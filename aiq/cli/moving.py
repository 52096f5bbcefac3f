"""Verbs that move a storage to another address: export, import."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aiq.cli.exits import Exit
from aiq.cli.output import Output
from aiq.cli.verbs import Verbs, add_verb, asking
from aiq.errors import InvalidInput
from aiq.job import fresh_id
from aiq.moving import lines, load_lines
from aiq.storage import Storage


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
    count = 0
    with _written(args.to) as file:
        move_id = await storage.retire(args.moved_to, fresh_id())
        async for line in lines(storage, move_id):
            file.write(line + b"\n")
            count += 1
    output.note(f"{count - 2:,} records. {storage.url} now names {args.moved_to} to all who write to it.")
    return Exit.DONE


async def _import(storage: Storage, args: Namespace, output: Output) -> Exit:
    with _read(args.file) as file:
        count = await load_lines(storage, file)
    output.fact({"records": count, "url": storage.url}, f"{count:,} records are in {storage.url}, which is open now.")
    return Exit.DONE


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
