"""The address of a Postgres storage: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=aiq`.

What the driver understands (`sslmode`, several hosts, `target_session_attrs` and so on) is handed on to it.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from aiq.errors import Misconfigured

SCHEMES: Final = ("postgresql", "postgres")
DEFAULT_SCHEMA: Final = "aiq"
DEFAULT_TIMEOUT_MS: Final = 10_000
"""How long one step may take with everything that belongs to it: connecting, waiting for others, the commit."""
SYNCHRONOUS: Final = ("on", "off", "local", "remote_write", "remote_apply")
"""What a commit waits for. The first is the server's own default; with `off` the last commits may go with the power."""
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_NO_ADDRESS: Final = (
    "The address of a Postgres storage is postgresql://USER:PASSWORD@HOST:PORT/DATABASE. In a user or password write "
    "/ as %2F, ? as %3F, @ as %40, # as %23, [ as %5B."
)
_MAY_HAVE_AT: Final = frozenset({"listen", "user", "password", "sslpassword", "options", "application_name"})
"""Settings whose values may have an @ as it is. In any other it stands behind half of a password."""
_PORT: Final = re.compile(r"(?<=[^:]):\d*$")
"""Behind a host. Of one that is an IPv6 address in brackets it stands behind these."""
_OURS: Final = frozenset({"schema", "timeout", "pooled", "synchronous_commit", "listen"})
_SWITCH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says. `url` is that URL without its password, `dsn` what the driver is given.

    `pooled` says that a pooler stands in between which gives each transaction any of its connections, so that nothing
    may be left in one; where nothing is said, one is not expected, and refused when it is found. `listen` is an address
    past the pooler, on which notifications can be heard. Of `hosts` one that begins with / is a socket; none at all is
    this machine.
    """

    url: str
    dsn: str = field(repr=False)
    schema: str = DEFAULT_SCHEMA
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    pooled: bool | None = None
    synchronous_commit: str | None = None
    listen: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    sslmode: str | None = None


def parse(url: str) -> Address:
    """Read a URL.

    Raises:
        Misconfigured: it names no server, or one of our settings has a value that is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        # What it says may have a password in it.
        raise Misconfigured(_NO_ADDRESS) from None
    if parts.scheme not in SCHEMES or parts.fragment or "@" in parts.path:
        raise Misconfigured(_NO_ADDRESS)
    written = [piece.partition("=") for piece in parts.query.split("&")]
    if any("@" in name or ("@" in value and name not in _MAY_HAVE_AT) for name, _, value in written):
        raise Misconfigured(_NO_ADDRESS)
    query = parse_qsl(parts.query, keep_blank_values=True)
    ours = {name: value for name, value in query if name in _OURS}
    theirs = urlencode([(name, value) for name, value in query if name not in _OURS])
    synchronous = ours.get("synchronous_commit")
    if synchronous is not None and synchronous not in SYNCHRONOUS:
        raise Misconfigured(f"synchronous_commit={synchronous} is no choice. Choose one of {', '.join(SYNCHRONOUS)}.")
    return Address(
        url=_masked(parts),
        dsn=urlunsplit(parts._replace(query=theirs)),
        schema=_schema(ours.get("schema", DEFAULT_SCHEMA)),
        timeout_ms=_timeout_ms(ours.get("timeout")),
        pooled=_switch("pooled", ours.get("pooled")),
        synchronous_commit=synchronous,
        listen=ours.get("listen"),
        hosts=_hosts(parts, dict(query)),
        sslmode=dict(query).get("sslmode", os.environ.get("PGSSLMODE")),
    )


def _hosts(parts: SplitResult, query: dict[str, str]) -> tuple[str, ...]:
    """Where the driver looks for a server: the first of these that says something."""
    named = parts.netloc.rpartition("@")[2] or query.get("host") or os.environ.get("PGHOST") or ""
    found = [_PORT.sub("", unquote(one)).strip("[]") for one in named.split(",")]
    return tuple([one for one in found if one])


def _masked(parts: SplitResult) -> str:
    """The address as it may be shown: without a password, wherever it stands."""
    user, at, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0] + (":***" if ":" in user else "")
    query = [
        (key, "***" if key in ("password", "passfile", "sslpassword", "listen") else value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    shown = urlencode(query, safe="*/")
    return f"{parts.scheme}://{name}{at}{host}{parts.path}{'?' if shown else ''}{shown}"


def _schema(name: str) -> str:
    if not _SCHEMA.fullmatch(name):
        raise Misconfigured(
            f"{name!r:.100} is no name of a schema for aiq. Write small letters, digits and _, at most 63, "
            "beginning with no digit."
        )
    return name


def _timeout_ms(given: str | None) -> int:
    if given is None:
        return DEFAULT_TIMEOUT_MS
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0
    if not 0.1 <= seconds <= 600:
        raise Misconfigured(f"timeout={given} is none: write seconds, from 0.1 to 600.")
    return round(seconds * 1_000)


def _switch(name: str, given: str | None) -> bool | None:
    if given is None:
        return None
    if given.lower() not in _SWITCH:
        raise Misconfigured(f"{name}={given} is no choice. Write {name}=true or {name}=false.")
    return _SWITCH[given.lower()]
