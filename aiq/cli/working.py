"""The verb that runs a worker: worker."""

import asyncio
import logging
import os
import sys
from argparse import Namespace
from dataclasses import asdict
from typing import Final

from aiq.cli.exits import Exit
from aiq.cli.loading import load_worker
from aiq.cli.output import Output, escaped
from aiq.cli.verbs import URL_VARIABLE, Verbs, add_verb
from aiq.worker import Statistics

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def add_verbs(verbs: Verbs) -> None:
    """Declare worker."""
    parser = add_verb(
        verbs,
        "worker",
        _worker,
        help="run a worker until SIGTERM or Ctrl-C; a second one gives running jobs back at once",
        example="  aiq worker myapp.jobs:worker          # worker = aiq.Worker(queue, tasks=[…])\n"
        "  aiq worker myapp.jobs:make_worker     # a function that returns one\n"
        "  aiq worker jobs.py                    # a file; the name is `worker` if none is given\n\n"
        "Which storage, tasks, slots and grace are the Worker's own. --url is handed to the\n"
        f"module as ${URL_VARIABLE}, and does nothing where the module names its storage itself.\n"
        "The log goes to stderr, unless the module sets up logging; what the worker\n"
        "has done is told on stdout in the end.",
    )
    parser.add_argument("target", metavar="MODULE:WORKER", help="where to find the aiq.Worker")


def _worker(args: Namespace, output: Output) -> Exit:
    if args.url:
        os.environ[URL_VARIABLE] = args.url
    worker = load_worker(args.target)
    _log_to_stderr(logging.DEBUG if args.debug else logging.INFO)
    logging.getLogger("aiq.cli").info("Working. SIGTERM or Ctrl-C stops it, and lets running jobs finish.")
    # The worker handles signals itself, and returns when every job is finished or given back.
    asyncio.run(worker.run())
    output.fact(asdict(worker.statistics), _sum(worker.statistics))
    return Exit.DONE


def _sum(done: Statistics) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in asdict(done).items() if number) or "nothing to do"


def _log_to_stderr(level: int) -> None:
    """Set up logging, unless the worker's module has done so."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])


class _Formatter(logging.Formatter):
    """Names the job that a line is about. Whatever a line quotes cannot command a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record), keep="\n\t")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        job_id = getattr(record, "job_id", None)
        return super().formatMessage(record) + (f" (job {job_id})" if job_id else "")
