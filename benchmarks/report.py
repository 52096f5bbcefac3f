"""What every benchmark prints: what it ran on, then what it found."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from benchmarks.machine import machine, promised_by, version_of


def about(url: str, **asked: object) -> dict[str, object]:
    """The machine, the store with what it promises, and what was asked for: figures without these mean nothing."""
    return {**machine(), "store": f"{version_of(url)}, {promised_by(url)}", **asked}


def report(told: Mapping[str, object], found: Mapping[str, object], shown: Iterable[str], *, as_json: bool) -> None:
    """One object for programs, or for people a line for each thing told and then what is shown."""
    if as_json:
        print(json.dumps({**told, **found}, default=asdict))
        return
    for name, value in told.items():
        print(f"{name}: {value}")
    for block in shown:
        print(block)
