"""The address of a Redis storage: which server, found how, and which namespace of it.

`redis://HOST:PORT/DB` is one server, `rediss://` the same by TLS, `redis+unix:///PATH` one on this machine,
`redis+sentinel://H1,H2/SERVICE/DB` the primary that sentinels name, `redis+cluster://H1,H2` a cluster of which these
are some nodes. With TLS the last two begin with `rediss`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from aiq.errors import Misconfigured

DEFAULT_TIMEOUT_MS: Final = 5_000
"""How long one operation may take with everything that belongs to it: finding the server, connecting, the answer."""
DEFAULT_CONNECTIONS: Final = 16
"""How many connections one storage has at most, besides the one on which it listens."""

SCHEMES: Final = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_HIDDEN: Final = "***"
_TLS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
_SENTINEL: Final = frozenset({"sentinel_username", "sentinel_password"})
_OURS: Final = frozenset({"namespace", "timeout", "connections", "replicas"})


class Kind(Enum):
    """How the server is found that holds the namespace."""

    SERVER = "server"
    SOCKET = "socket"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Place(NamedTuple):
    """Where a server listens; port 0 is a socket of this machine, whose path stands in the place of the host."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says. `url` is that URL without its passwords."""

    url: str
    kind: Kind
    places: tuple[Place, ...]
    namespace: str = "default"
    database: int = 0
    service: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: Mapping[str, str] | None = None
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    connections: int = DEFAULT_CONNECTIONS
    replicas: int = 0

    @property
    def prefix(self) -> str:
        """With what every key of the namespace begins; all of them stand in one slot of a cluster."""
        return f"{{aiq:{self.namespace}}}"


def parse(url: str) -> Address:
    """Read a URL.

    Raises:
        Misconfigured: it names no server, or a setting that is not there; the text says what to write instead.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Misconfigured(f"The address of a Redis storage cannot be read ({error}).") from None
    scheme = parts.scheme.lower()
    kind = _kind(scheme)
    if parts.fragment:
        raise Misconfigured("The address of a Redis storage has no part behind #. Write # as %23.")
    user, _, hosts = parts.netloc.rpartition("@")
    username, _, password = user.partition(":")
    settings = _settings(parts, kind)
    service, database = _path(parts.path, kind)
    return Address(
        url=_masked(parts),
        kind=kind,
        places=_places(hosts, parts.path, kind),
        namespace=_namespace(settings),
        database=_number("db", settings.get("db", database), 0),
        service=service,
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=settings.get("sentinel_username"),
        sentinel_password=settings.get("sentinel_password"),
        tls={name: settings[name] for name in _TLS & settings.keys()} if scheme.startswith("rediss") else None,
        timeout_ms=_timeout_ms(settings),
        connections=_number("connections", settings.get("connections", str(DEFAULT_CONNECTIONS)), 1),
        replicas=_number("replicas", settings.get("replicas", "0"), 0),
    )


def _kind(scheme: str) -> Kind:
    if scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise Misconfigured(f"The address of a Redis storage begins with one of {known}.")
    found = scheme.partition("+")[2]
    return {"": Kind.SERVER, "unix": Kind.SOCKET}.get(found) or Kind(found)


def _places(hosts: str, path: str, kind: Kind) -> tuple[Place, ...]:
    if kind is Kind.SOCKET:
        if hosts or path in ("", "/"):
            raise Misconfigured("A socket is named by its path: redis+unix:///run/redis/redis.sock, three slashes.")
        return (Place(unquote(path), 0),)
    if kind is Kind.SERVER and "," in hosts:
        raise Misconfigured(
            "redis:// names one server. Several are redis+sentinel://HOST,HOST/SERVICE, or redis+cluster://HOST,HOST."
        )
    port = 26379 if kind is Kind.SENTINEL else 6379
    if not hosts and kind is not Kind.SERVER:
        raise Misconfigured(f"redis+{kind.value}:// names at least one host: redis+{kind.value}://HOST:{port}.")
    return tuple(_place(host, port) for host in hosts.split(","))


def _place(text: str, port: int) -> Place:
    try:
        found = urlsplit(f"//{text}")
        return Place(found.hostname or "localhost", found.port or port)
    except ValueError:
        # The host is not repeated: what stands in its place may be a password.
        raise Misconfigured("A host of the address has no port that can be read. Write HOST:PORT.") from None


def _path(path: str, kind: Kind) -> tuple[str, str]:
    """The service that sentinels watch, and the number of the database."""
    parts = [] if kind is Kind.SOCKET else [unquote(part) for part in path.split("/") if part]
    service = ""
    if kind is Kind.SENTINEL:
        if not parts:
            raise Misconfigured("Name the service that the sentinels watch: redis+sentinel://HOST:26379/SERVICE.")
        service = parts.pop(0)
    if len(parts) > 1:
        raise Misconfigured(f"/{'/'.join(parts)} is not the number of a database.")
    database = parts[0] if parts else "0"
    if kind is Kind.CLUSTER and database != "0":
        raise Misconfigured("A cluster has database 0 only. Leave the number out; namespaces keep storages apart.")
    return service, database


def _settings(parts: SplitResult, kind: Kind) -> dict[str, str]:
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = set(_OURS)
    known |= _TLS if parts.scheme.lower().startswith("rediss") else set()
    known |= _SENTINEL if kind is Kind.SENTINEL else set()
    known |= {"db"} if kind is Kind.SOCKET else set()
    foreign = sorted(settings.keys() - known)
    if foreign:
        raise Misconfigured(
            f"A Redis storage at such an address has no setting {', '.join(foreign)}, but {', '.join(sorted(known))}."
        )
    if settings.get("ssl_cert_reqs", "required") not in ("required", "none"):
        raise Misconfigured("ssl_cert_reqs is required, which is the default, or none.")
    if "ssl_keyfile" in settings and "ssl_certfile" not in settings:
        raise Misconfigured("ssl_keyfile is the key of a certificate. Name that too: ssl_certfile=/path/to/client.pem.")
    return settings


def _namespace(settings: Mapping[str, str]) -> str:
    name = settings.get("namespace", "default")
    if not _NAMESPACE.fullmatch(name):
        raise Misconfigured(
            f"{name!r:.200} is no namespace. Use 1 to 128 of A-Z a-z 0-9 _ . - and begin with a letter or digit."
        )
    return name


def _timeout_ms(settings: Mapping[str, str]) -> int:
    text = settings.get("timeout", "")
    if not text:
        return DEFAULT_TIMEOUT_MS
    if not re.fullmatch(r"\d{1,4}([.]\d{1,3})?", text) or not float(text):
        raise Misconfigured(f"timeout={text:.20} is not a number of seconds, such as 5 or 0.5.")
    return round(float(text) * 1000)


def _number(name: str, text: str, least: int) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) < least:
        raise Misconfigured(f"{name}={text:.20} is not a whole number from {least} on.")
    return int(text)


def _masked(parts: SplitResult) -> str:
    """The address as it may be shown."""
    user, at, hosts = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    query = re.sub(r"(?<![^&])(sentinel_password=)[^&]*", rf"\1{_HIDDEN}", parts.query)
    return parts._replace(netloc=f"{name}{colon}{_HIDDEN if colon else ''}{at}{hosts}", query=query).geturl()
