"""The address of a SQLite storage: `sqlite:///jobs.db` is relative, `sqlite:////var/jobs.db` absolute."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from aiq.errors import Misconfigured

SYNCHRONOUS: Final = ("full", "normal", "extra")
"""How much a commit waits for; the first is the default. With `full` an acknowledged job survives the loss of
power; with `normal` only the loss of the process, and the last commits may go with the power, whole ones."""


@dataclass(frozen=True, slots=True)
class Address:
    """Which file, and how durable a commit is."""

    url: str
    path: Path
    synchronous: str = SYNCHRONOUS[0]


def parse(url: str) -> Address:
    """Read a URL.

    Raises:
        Misconfigured: it names no file, or a setting that is not ours; the text says what to write instead.
    """
    parts = urlsplit(url)
    name = unquote(parts.path[1:])
    if parts.netloc or not name:
        # The address is not repeated: what stands in the place of a host may be a password.
        raise Misconfigured(
            "The address of a SQLite storage names a file and no host. Write sqlite:///jobs.db for a file in the "
            "working directory, and sqlite:////var/lib/jobs.db, with four slashes, for an absolute path."
        )
    if name == ":memory:":
        raise Misconfigured(f"{url!r} would be gone with the process. Use memory:// for jobs that need no file.")
    if "\0" in name or parts.fragment:
        raise Misconfigured(f"{url!r} is not the path of a file. Write # as %23, and ? as %3F.")
    # Made absolute at once: a program that changes its directory later must not open a second file.
    return Address(url, Path(name).absolute(), _synchronous(parts.query))


def _synchronous(query: str) -> str:
    settings = dict(parse_qsl(query, keep_blank_values=True))
    chosen = settings.pop("synchronous", SYNCHRONOUS[0]).lower()
    if settings:
        names = ", ".join(sorted(settings))
        raise Misconfigured(f"A SQLite storage has no setting {names}. Remove it from the address; synchronous is one.")
    if chosen not in SYNCHRONOUS:
        raise Misconfigured(f"synchronous={chosen} is no choice. Choose one of {', '.join(SYNCHRONOUS)}.")
    return chosen
