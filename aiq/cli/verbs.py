"""What the verbs share: how one is declared, and how the storage it asks is found, opened and closed."""

import asyncio
import os
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from aiq.backends import open_storage
from aiq.cli.exits import Exit
from aiq.cli.loading import load_codecs
from aiq.cli.output import Output
from aiq.coded import behind
from aiq.errors import InvalidInput, Misconfigured
from aiq.storage import Storage

Verbs: TypeAlias = "_SubParsersAction[ArgumentParser]"
Verb: TypeAlias = Callable[[Namespace, Output], Exit]
Question: TypeAlias = Callable[[Storage, Namespace, Output], Awaitable[Exit]]
"""What a verb asks a storage, or tells it."""

URL_VARIABLE: Final = "AIQ_URL"


def add_verb(verbs: Verbs, name: str, run: Verb, *, help: str, example: str) -> ArgumentParser:
    """Declare a verb: `help` says in a sentence what it does, `example` shows it at work."""
    parser = verbs.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog=f"example:\n{example}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # No defaults here: they would hide what was said before the verb.
    add_common(parser, url=SUPPRESS, flag=SUPPRESS)
    parser.set_defaults(run=run)
    return parser


class VerbParser(ArgumentParser):
    """The parser of a verb. Of its actions `meant` is the one that no word names: `aiq limits gpt` shows gpt."""

    actions: "Verbs | None" = None
    meant = ""

    # typeshed has overloads for a namespace of one's own, which nobody passes here.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """As ever, with the action that was meant."""
        words = list(args or ())
        if self.actions is not None and not {"-h", "--help", *self.actions.choices}.intersection(words):
            words.insert(0, self.meant)
        return super().parse_known_args(words, namespace)


def add_actions(parser: ArgumentParser, meant: str) -> Verbs:
    """Let a verb have verbs of its own, as in `aiq limits set`; without one `meant` is, which the caller adds too."""
    if not isinstance(parser, VerbParser):
        raise TypeError("only a VerbParser knows which action is meant")
    actions: Verbs = parser.add_subparsers(title="actions", metavar="ACTION", parser_class=ArgumentParser)
    parser.actions, parser.meant = actions, meant
    return actions


def add_common(parser: ArgumentParser, *, url: str | None = None, flag: str | bool = False) -> None:
    """Declare the options that may stand before or after any verb."""
    group = parser.add_argument_group("common options")
    group.add_argument("--url", default=url, help=f"the storage, such as sqlite:///jobs.db; otherwise ${URL_VARIABLE}")
    group.add_argument(
        "--codecs", default=url, metavar="MODULE:NAME", help="the codecs of the queue, to read values that are encoded"
    )
    group.add_argument("--json", action="store_true", default=flag, help="one JSON object a line, for programs")
    group.add_argument("--debug", action="store_true", default=flag, help="show where in the code an error came from")


def asking(question: Question, *, makes: bool = False) -> Verb:
    """A verb that asks the storage. With `makes` it makes one where there is none yet."""

    def run(args: Namespace, output: Output) -> Exit:
        return asyncio.run(_ask(question, args, output, makes=makes))

    return run


async def _ask(question: Question, args: Namespace, output: Output, *, makes: bool) -> Exit:
    url = url_of(args)
    if not makes:
        _refuse_new(url)
    codecs = load_codecs(args.codecs) if args.codecs else ()
    storage = behind(await open_storage(url), codecs)
    try:
        return await question(storage, args, output)
    finally:
        await storage.close()


def url_of(args: Namespace) -> str:
    """The address of the storage, from the command line or the environment.

    Raises:
        InvalidInput: neither names one.
    """
    url = getattr(args, "storage", None) or args.url or os.environ.get(URL_VARIABLE)
    if not url:
        raise InvalidInput(f"No storage is named. Pass --url sqlite:///jobs.db, or set {URL_VARIABLE}.")
    return str(url)


def _refuse_new(url: str) -> None:
    """Refuse to make an empty file where somebody who looks for jobs has mistyped its name."""
    if not url.lower().startswith("sqlite://"):
        return
    from aiq.backends.sqlite.address import parse

    path = parse(url).path
    if not path.exists():
        raise Misconfigured(f"There is no file {path}. Check the address; `aiq migrate` makes a new, empty one.")
