"""The command line from end to end: what may be said, who answers, and how every error ends."""

import os
import sys
import traceback
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from aiq.cli import (
    changing,
    dead,
    doctor,
    happening,
    limits,
    reading,
    schedules,
    spending,
    streaming,
    upkeep,
    workers,
    working,
)
from aiq.cli.exits import EXITS, Exit, exit_of
from aiq.cli.output import Output, open_output
from aiq.cli.verbs import VerbParser, add_common
from aiq.errors import AiqError, Conflict, InvalidInput

_EPILOG = f"""\
{EXITS}
first steps:
  export AIQ_URL=sqlite:///jobs.db
  aiq migrate                      # make the file, or bring it up to date
  aiq worker myapp.jobs:worker     # run jobs until Ctrl-C
  aiq ls --state dead              # what needs a person
  aiq show ID                      # and why

`aiq VERB --help` has the options of a verb and an example.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says (`argv`, or the process's own) and return the exit status.

    Raises:
        SystemExit: the command line is wrong (2), or asked for help (0).
    """
    words = sys.argv[1:] if argv is None else argv
    args = build_parser().parse_args(words)
    output = open_output(json=args.json)
    try:
        _check_text(words)
        status: Exit = args.run(args, output)
        output.flush()
    except AiqError as error:
        _tell(error, output, debug=args.debug)
        return exit_of(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return Exit.PIPE_CLOSED
    return status


def build_parser() -> ArgumentParser:
    """All verbs, with their help."""
    parser = ArgumentParser(
        prog="aiq",
        description="Run the workers of aiq, look at its jobs, and step in by hand.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_common(parser)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=VerbParser)
    for room in (
        working,
        reading,
        streaming,
        happening,
        changing,
        dead,
        limits,
        spending,
        schedules,
        workers,
        doctor,
        upkeep,
    ):
        room.add_verbs(verbs)
    return parser


def _check_text(words: Sequence[str]) -> None:
    """Python hands on bytes that are no text in a form that no storage could keep."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{word!r} is no text in the encoding of this terminal.") from error


def _tell(error: AiqError, output: Output, *, debug: bool) -> None:
    """Say what happened, in one line; where it happened is for who asked."""
    if debug:
        traceback.print_exception(error, file=output.err)
    fact = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, Conflict):
        fact["reason"] = error.reason
    output.error(fact, str(error))


def _forget_stdout() -> None:
    """Nobody reads any more; the interpreter must not stumble over that once again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
