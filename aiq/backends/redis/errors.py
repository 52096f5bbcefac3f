"""What Redis and its driver say, in the words of aiq. No driver's exception passes this module."""

import re
import ssl
from collections.abc import Callable, Iterator
from typing import Final

from redis import exceptions as driver

from aiq.errors import Corrupt, Misconfigured, ReadOnly, StorageError, StorageFull, Unavailable

FAILURES: Final = (driver.RedisError, OSError, TimeoutError)
"""What the driver may raise."""

ELSEWHERE: Final = (driver.ReadOnlyError, driver.ClusterDownError)
"""Replies after which another server is the one to ask. Nothing was done."""
CUT_OFF: Final = ("NOREPLICAS", "MASTERDOWN")
"""How replies begin of a server that may have been replaced, and was not told. Nothing was done."""
NOT_YET: Final = (driver.AskError, driver.TryAgainError)
"""The slot is on its way to another node. Nothing was done, and nothing is to be done before it has come there: a
script that ran now would see some of its keys here and some there."""


def ours(error: Exception, url: str, *, sent: bool) -> StorageError:
    """The error of aiq for one of the driver. `sent` says that the server may have heard the command."""
    text = str(error)
    for kind, made in _BY_CLASS:
        if isinstance(error, kind):
            return made(url, text)
    if isinstance(error, driver.ConnectionError) and _certificate(error):
        return Misconfigured(f"{url} cannot be trusted ({text}). Name the authority: ?ssl_ca_certs=/path/to/ca.pem.")
    if isinstance(error, driver.ConnectionError) and url.startswith("rediss") and _unreadable(error):
        return Misconfigured(
            f"A file that {url} names cannot be read ({text}). Look at ssl_ca_certs, ssl_certfile and ssl_keyfile."
        )
    if isinstance(error, driver.InvalidResponse):
        return Misconfigured(f"What answers at {url} is no Redis server ({text:.200}). Look at host and port.")
    if isinstance(error, driver.ResponseError):
        return _of_reply(text, url)
    return Unavailable(f"{url} did not answer ({text or type(error).__name__}). Try again.", outcome_unknown=sent)


def _of_reply(text: str, url: str) -> StorageError:
    """By the first word of an error that the driver has no class for."""
    made = _BY_WORD.get(text.partition(" ")[0])
    if made is not None:
        return made(url, text)
    if "DB index is out of range" in text or "invalid DB index" in text:
        return Misconfigured(f"{url} has no such database ({text}). Databases are counted from 0, mostly up to 15.")
    if _UNKNOWN.match(text):
        return _lacking(url, text)
    if _IN_A_SCRIPT in text:
        return _contradicting(url, text)
    return _waiting(url, text)


_UNKNOWN: Final = re.compile(
    "unknown (sub)?command|Unknown Redis command|Error compiling script|Unexpected flag", re.IGNORECASE
)
"""How replies begin of a server that is too old for a storage, or whose owner has taken a command away."""
_IN_A_SCRIPT: Final = ", on @user_script:"
"""How it ends what a script has raised. Ours raise where what is stored is not as they left it."""


def _certificate(error: BaseException) -> bool:
    # A server that ends during the handshake has said nothing of certificates.
    return any(isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError) for one in _causes(error))


def _unreadable(error: BaseException) -> bool:
    return any(isinstance(one, FileNotFoundError | PermissionError | IsADirectoryError) for one in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refused(url: str, text: str) -> StorageError:
    return Misconfigured(f"{url} refuses this user or password ({text}). Look at the address.")


def _forbidden(url: str, text: str) -> StorageError:
    return Misconfigured(f"The user of {url} lacks a right that a storage needs ({text}). See docs/redis.md.")


def _closed(url: str, text: str) -> StorageError:
    return Misconfigured(f"{url} lets in nobody from another machine ({text}). Give its users passwords, and bind it.")


def _lacking(url: str, text: str) -> StorageError:
    if "SENTINEL" in text.upper():
        return Misconfigured(f"What answers at {url} is no sentinel ({text:.200}). They mostly listen at port 26379.")
    return Misconfigured(
        f"{url} lacks a command that a storage needs ({text}). It takes Redis 7.0 or newer, or Valkey, with all of the "
        "commands in docs/redis.md: bring the server up to date, or give back what was renamed or disabled there."
    )


def _full(url: str, text: str) -> StorageError:
    return StorageFull(f"{url} has no memory left ({text}). Let jobs end or be trimmed, or raise maxmemory.")


def _read_only(url: str, text: str) -> StorageError:
    return ReadOnly(f"{url} is a replica and takes no writes ({text}). Name the primary, or its sentinels.")


def _unfit(url: str, text: str) -> StorageError:
    return Misconfigured(
        f"{url} cannot run a script of this storage ({text}). Behind a cluster write redis+cluster://."
    )


def _waiting(url: str, text: str) -> StorageError:
    return Unavailable(f"{url} takes no commands just now ({text}). Try again.")


def _no_disk(url: str, text: str) -> StorageError:
    if "No space left" in text:
        return StorageFull(f"{url} cannot write to its disk ({text}). Free some space, and repeat the call.")
    return _waiting(url, text)


def _contradicting(url: str, text: str) -> StorageError:
    return Corrupt(f"What is stored at {url} contradicts itself ({text}). Run `audit()`, and report what it says.")


Made = Callable[[str, str], StorageError]
_BY_CLASS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], Made], ...]] = (
    ((driver.AuthenticationError, driver.AuthenticationWrongNumberOfArgsError), _refused),
    ((driver.NoPermissionError, driver.AuthorizationError), _forbidden),
    (driver.OutOfMemoryError, _full),
    (driver.ReadOnlyError, _read_only),
    (driver.MovedError, _unfit),
    (driver.ClusterCrossSlotError, _unfit),
    ((driver.BusyLoadingError, driver.ClusterDownError, driver.MasterDownError, *NOT_YET), _waiting),
)
_BY_WORD: Final[dict[str, Made]] = {
    "BUSY": _waiting,
    "DENIED": _closed,
    "INPROG": _waiting,
    "NOREPLICAS": _waiting,
    "UNBLOCKED": _waiting,
    "MISCONF": _no_disk,
    "WRONGTYPE": _contradicting,
}
