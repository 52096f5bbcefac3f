"""The simulator as a process: prints its address as one line of JSON, and serves until SIGTERM or SIGINT."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final, get_args

import msgspec

from aiq.testing.provider.limits import Charge, RateLimit
from aiq.testing.provider.server import Provider
from aiq.testing.provider.styles import Style

_OPTIONS_OF_ONE_LIMIT: Final = (
    ("requests", int, "in --per seconds"),
    ("tokens", int, "in --per seconds, input and output together"),
    ("per", float, "seconds; default: 60"),
    ("burst", float, "the capacity, in seconds of the rate; default: 60"),
    ("hidden-share", float, "the share of the rates that another client takes; default: 0"),
    ("seed", int, "of the instants at which it does; default: 0"),
)
_OF_ONE_LIMIT: Final = frozenset(RateLimit.__struct_fields__)


def main() -> int:
    """Serve until told to stop; exit 0 then, and 1 if it cannot start."""
    options = _parser().parse_args()
    try:
        asyncio.run(_serve(options))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"The provider simulator cannot run: {error}\n")
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    provider = Provider(
        latency_first_token=options.latency_first_token,
        latency_per_token=options.latency_per_token,
        latency_per_input_token=options.latency_per_input_token,
        limits=_limits(options),
        ledger_file=options.ledger,
        port=options.port,
    )
    async with provider:
        ready = {"base_url": provider.base_url, "control_url": f"{provider.url}/control", "pid": os.getpid()}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stopped.wait()


def _limits(options: argparse.Namespace) -> list[RateLimit]:
    """Read `--limits`, and make one more limit of the options that spell one out.

    Raises:
        ValueError: they are no limits; the message says why.
    """
    try:
        limits = msgspec.json.decode(options.limits, type=list[RateLimit])
    except msgspec.DecodeError as error:
        raise ValueError(f"--limits cannot be read: {error}") from error
    single = {name: value for name, value in vars(options).items() if name in _OF_ONE_LIMIT and value is not None}
    if single:
        limits.append(RateLimit(**single))
    return limits


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aiq.testing.provider",
        description="An OpenAI-compatible provider on 127.0.0.1 that answers from the prompt and costs nothing.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one; see the line printed")
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="append each call to FILE as it starts and ends")
    parser.add_argument("--latency-first-token", type=float, default=0.005, metavar="SECONDS", help="default: 0.005")
    parser.add_argument("--latency-per-token", type=float, default=0.001, metavar="SECONDS", help="default: 0.001")
    parser.add_argument("--latency-per-input-token", type=float, default=0.0, metavar="SECONDS", help="default: 0")
    parser.add_argument(
        "--limits", default="[]", metavar="JSON", help="an array of limits, each with a RateLimit's fields"
    )
    limit = parser.add_argument_group("one rate limit", "A limit of its own, for the calls of all models.")
    for name, kind, text in _OPTIONS_OF_ONE_LIMIT:
        limit.add_argument(f"--{name}", type=kind, help=text)
    limit.add_argument("--charge", choices=get_args(Charge), help="what a call takes, and when; default: stream")
    limit.add_argument("--style", choices=get_args(Style), help="whose headers and bodies; default: openai")
    limit.add_argument(
        "--no-retry-header", dest="retry_header", action="store_false", default=None, help="send no retry-after"
    )
    limit.add_argument("--exact-retry", action="store_true", default=None, help="send retry-after-ms in every style")
    return parser


if __name__ == "__main__":
    sys.exit(main())
