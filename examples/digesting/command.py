"""The command line of `examples/digest.py`: what may be said, and how every end is told to the shell."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

import aiq
from examples.digesting.folder import CannotDigest
from examples.digesting.processes import ROOT, ProcessFailed
from examples.digesting.program import Options, run
from examples.digesting.report import EXITS, Exit, Report
from examples.digesting.show import Show
from examples.digesting.tasks import SIMULATED

USAGE_ERRORS: Final = (CannotDigest, aiq.InvalidInput, aiq.Misconfigured, OSError)
PLAIN_COLUMNS: Final = 110
"""How wide tables are where there is no terminal to ask."""

DESCRIPTION: Final = """\
Digest a folder of text or Markdown files: each is summarised by a job of its own, a parent job composes an overview,
a person approves, and a last job writes the file, once. Kill it at any moment and start it again: it goes on where it
was, and no finished summary is paid for twice. No call is made that the provider's limit or the budget has no room for.
"""


def main() -> int:
    """Do what the command line says, and return the exit status."""
    parser = _parser()
    arguments = parser.parse_args()
    options = _options(parser, arguments)
    console = Console(stderr=arguments.json, width=None if sys.stderr.isatty() else PLAIN_COLUMNS, highlight=False)
    show = Show(console)
    try:
        report = asyncio.run(_until_terminated(options, show))
    except KeyboardInterrupt:
        show.tell("Interrupted. Start again: it goes on where it was.", "yellow")
        return Exit.INTERRUPTED
    except asyncio.CancelledError:
        return Exit.TERMINATED
    except (*USAGE_ERRORS, ProcessFailed, aiq.AiqError, ExceptionGroup) as error:
        return _failed(error, console)
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    _last_words(report, show)
    return report.exit


async def _until_terminated(options: Options, show: Show) -> Report:
    task = asyncio.current_task()
    assert task is not None
    # As Ctrl-C does: what runs is handed back, and processes end in order.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(options, show)


def _failed(error: BaseException, console: Console) -> Exit:
    """Say what went wrong, in the words of the error itself; one of ours says what to do."""
    leaf = next(_leaves(error))
    if not isinstance(leaf, (*USAGE_ERRORS, ProcessFailed, aiq.AiqError)):
        raise error
    console.print(f"[bold red]{type(leaf).__name__}[/]: ", end="")
    console.print(str(leaf), markup=False, soft_wrap=True)
    return Exit.USAGE if isinstance(leaf, USAGE_ERRORS) else Exit.FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _last_words(report: Report, show: Show) -> None:
    if report.published is not None:
        path = report.published.path
        how = "bold green" if report.exit is Exit.PUBLISHED else "bold red"
        show.tell(f"Published: {path}, {report.published.bytes:,} bytes.", how)
        if not Path(path).exists():
            show.tell("Somebody has removed that file since. `--again` publishes another digest.", "bold magenta")
    elif report.state is aiq.State.SUCCEEDED:
        show.tell("Not published: a person said no. `--again` makes another digest.", "bold magenta")
    elif report.exit is Exit.FAILED:
        show.tell(f"The digest is {report.state}. {report.error} `--again` makes another one.", "bold red")


def _options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Options:
    if arguments.live and not arguments.model:
        parser.error("--live needs --model: only you know which models your provider has.")
    if arguments.live and not os.environ.get("OPENAI_API_KEY"):
        parser.error("--live needs OPENAI_API_KEY in the environment (and OPENAI_BASE_URL, unless it is OpenAI).")
    if arguments.live and arguments.prove:
        parser.error("--prove reads the simulator's ledger; a real provider does not show his.")
    if arguments.model and not arguments.live:
        parser.error("--model is for --live; the simulator has one model.")
    if arguments.url.startswith("memory:"):
        parser.error("memory:// lives in one process, and the worker is another. Use sqlite:///digest.db.")
    return Options(
        folder=arguments.folder,
        url=arguments.url,
        model=arguments.model or SIMULATED,
        output=arguments.output,
        ledger=arguments.ledger,
        live=arguments.live,
        approve=arguments.approve,
        prove=arguments.prove,
        again=arguments.again,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="digest.py",
        description=DESCRIPTION,
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", type=Path, nargs="?", default=ROOT / "spec", metavar="FOLDER", help="default: this project's spec/")
    add("--url", default="sqlite:///digest.db", help="where the jobs are; default: %(default)s")
    add(
        "--output", type=Path, default=Path("digest.md"), metavar="FILE", help="what is published; default: %(default)s"
    )
    add("--approve", action="store_true", help="ask me before publishing; otherwise the demo approves by itself")
    add("--again", action="store_true", help="make another digest, even if this content has one")
    add(
        "--prove",
        action="store_true",
        help="kill the worker in the middle; show what was paid again, and the 429s without limits",
    )
    add("--live", action="store_true", help="ask the provider that the environment names; COSTS MONEY")
    add("--model", help="with --live: which model; `aiq prices MODEL` stores what it costs")
    add("--json", action="store_true", help="one JSON object on stdout at the end; everything else goes to stderr")
    ledger = Path("digest.calls.jsonl")
    add("--ledger", type=Path, default=ledger, metavar="FILE", help="the simulator's own record; default: %(default)s")
    return parser
