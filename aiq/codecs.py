"""Codecs: what may happen to values between a program and its storage. Bytes to bytes, one after the other.

The storage sees what comes out at the end. What decides (names, tenants, keys, digests, error texts) is never coded.
"""

import asyncio
import base64
import hashlib
import hmac
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

from aiq.bounds import MAX_DECODED_BYTES
from aiq.errors import InvalidInput, Misconfigured
from aiq.policy import Duration, duration_ms
from aiq.policy.figures import check_name
from aiq.rules.checks import check_range

__all__ = ["AESGCM", "Codec", "Offload", "Undecodable", "Value", "Zlib"]

T = TypeVar("T")

OFF_LOOP_BYTES: Final = 64 * 1024
"""What is larger is coded in a thread: a megabyte takes some milliseconds, in which nothing else would run."""
NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Value:
    """What is coded, and its place. A value that is read in another place than it was written is none.

    `kind` is "payload", "result", "step", "signal" or "chunk", or "template", the payload of a schedule. `owner` is the
    id of the job, or the name of the schedule; `part` the key of the step, or the kind of the chunk. The payload of a
    job with a unique key belongs to its task and that key, since a newer job with the key may put its own there.

    `write` tells writes of one place apart, such as the chunks of a stream. Who reads does not know it.
    """

    kind: str
    owner: str
    part: str = ""
    write: str = ""

    @property
    def bound(self) -> bytes:
        """Its place in bytes, for what ties a value to it. None of the parts can hold NUL, so no two places are one."""
        return f"{self.kind}\0{self.owner}\0{self.part}".encode()


class Undecodable(Exception):
    """A codec cannot read a value. The text says why. `passing` says that it may, later."""

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing


class Codec(Protocol):
    """One change of values, and its undoing.

    The same value must become the same bytes each time it is encoded: a call whose reply was lost is sent again, and
    a storage knows a repeated chunk or signal by its bytes.
    """

    @property
    def name(self) -> str:
        """How stored values name it: letters, digits, `_`, `.` and `-`. It stays the same for ever."""
        ...

    @property
    def hides(self) -> bool:
        """Whether values are not meant to be read by whoever reads the storage."""
        ...

    @property
    def required(self) -> bool:
        """Whether a value that it has not encoded is refused."""
        ...

    async def encode(self, data: bytes, value: Value) -> tuple[str, bytes] | None:
        """A note for the one who decodes it ("" or a name, such as that of a key), and the bytes; None leaves the
        value as it is."""
        ...

    async def decode(self, data: bytes, note: str, value: Value) -> bytes:
        """Undo it. At most MAX_DECODED_BYTES may come out.

        Raises:
            Undecodable: it cannot be read here. Any other error counts as an outage: it may be read later.
        """
        ...


class Zlib:
    """Compresses values of at least `min_bytes`, if that makes them smaller.

    Raises:
        InvalidInput: a number is out of range.
    """

    name: Final = "zlib"
    hides: Final = False
    required: Final = False

    def __init__(self, *, min_bytes: int = 1_024, level: int = 6) -> None:
        check_range("min_bytes of Zlib", min_bytes, 0, MAX_DECODED_BYTES)
        check_range("level of Zlib", level, 1, 9)
        self._min_bytes, self._level = min_bytes, level

    async def encode(self, data: bytes, value: Value) -> tuple[str, bytes] | None:  # noqa: ARG002 - as of all codecs
        """See `Codec`."""
        if len(data) < self._min_bytes:
            return None
        smaller = await _off_loop(len(data), zlib.compress, data, self._level)
        return ("", smaller) if len(smaller) < len(data) else None

    async def decode(self, data: bytes, note: str, value: Value) -> bytes:  # noqa: ARG002 - as of all codecs
        """See `Codec`."""
        return await _off_loop(len(data) * 4, _inflated, data)


Keys: TypeAlias = Mapping[str, bytes | str]
"""Keys by their ids: 16, 24 or 32 bytes each, or these in base64."""


class AESGCM:
    """Encrypts values with AES-GCM, and ties each to its place. Needs `pip install aiq[crypto]`.

        aiq.AESGCM(keys={"2026-11": os.environ["AIQ_KEY"]}, current="2026-11")

    `current` is the id of the key that encrypts; the others still decrypt, so that keys can be rotated: add the new
    one everywhere, then make it current, and drop an old one when no value of its time is left. A key is good for some
    four billion values.

    What is not encrypted is read as it is, so that a queue in use can begin with it. Whoever can write to the storage
    could so put values of his own there: with plain="refuse" they are none.

    The nonce follows from the key, the place, the write and the content, as in a synthetic IV: the same write is the
    same bytes each time, as a repeated call must be. So much, that a place was written twice with the same value, can
    be seen; and the length of a value can.

    Raises:
        InvalidInput: a key has a wrong length or is no base64, `current` names none, or `plain` is another word.
        Misconfigured: the library `cryptography` is not installed.
    """

    name: Final = "aesgcm"
    hides: Final = True

    def __init__(self, keys: Keys, current: str, *, plain: Literal["read", "refuse"] = "read") -> None:
        if current not in keys:
            raise InvalidInput(f"current={current!r} names none of the keys: {', '.join(keys) or 'there are none'}.")
        if plain not in ("read", "refuse"):
            raise InvalidInput(f'plain={plain!r:.100} is neither "read" nor "refuse".')
        self.required = plain == "refuse"
        self._ciphers = {key_id: _Cipher(key_id, key) for key_id, key in keys.items()}
        self._current = current

    def __repr__(self) -> str:
        return f"AESGCM(keys: {', '.join(self._ciphers)}; current: {self._current})"

    async def encode(self, data: bytes, value: Value) -> tuple[str, bytes] | None:
        """See `Codec`."""
        return self._current, await _off_loop(len(data), self._ciphers[self._current].seal, data, value)

    async def decode(self, data: bytes, note: str, value: Value) -> bytes:
        """See `Codec`."""
        cipher = self._ciphers.get(note)
        if cipher is None:
            raise Undecodable(
                f'It is encrypted with key "{note}", which is not among the keys here: add it to AESGCM(keys=…) '
                "in every process that reads, and redrive what died of it"
            )
        opened = await _off_loop(len(data), cipher.open, data, value.bound)
        if opened is None:
            raise Undecodable(
                f'It does not decrypt with key "{note}": the key of this id is another one here, its bytes were '
                "changed, or it was written in another place"
            )
        return opened


class _Cipher:
    """One key, at work."""

    def __init__(self, key_id: str, key: bytes | str) -> None:
        check_name("key", key_id)
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers import aead
        except ImportError as error:
            raise Misconfigured("AESGCM needs the library `cryptography`: pip install 'aiq[crypto]'.") from error
        raw = _key_bytes(key_id, key)
        self._aead, self._invalid = aead.AESGCM(raw), InvalidTag
        self._nonces = hmac.digest(raw, b"aiq: nonces of AES-GCM", "sha256")

    def seal(self, data: bytes, value: Value) -> bytes:
        place = value.bound + b"\0" + value.write.encode()
        nonce = hmac.digest(self._nonces, len(place).to_bytes(4, "big") + place + data, "sha256")[:NONCE_BYTES]
        return nonce + self._aead.encrypt(nonce, data, value.bound)

    def open(self, data: bytes, bound: bytes) -> bytes | None:
        if len(data) < NONCE_BYTES:
            return None
        try:
            return self._aead.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], bound)
        except self._invalid:
            return None


Put: TypeAlias = Callable[[str, bytes], Awaitable[object]]
Get: TypeAlias = Callable[[str], Awaitable[bytes]]


class Offload:
    """Keeps values over a size elsewhere, in an object store or a folder, and their keys in the storage.

        aiq.Offload(put=bucket.put, get=bucket.get, over=64 * 1024)

    `put(key, data)` stores bytes, and again with the same key and bytes changes nothing; `get(key)` gives them back,
    and raises a LookupError or FileNotFoundError for what is gone for good. What else they raise, or more than
    `timeout`, counts as an outage: a run that needs the value fails, and is tried again. Keys are 64 hex digits, and
    follow from place and content, so that bytes that were changed there are found out. Nothing is ever deleted by aiq:
    give the bucket a lifetime that is longer than that of jobs. Put it last: what it is handed is what is stored
    elsewhere.

    Raises:
        InvalidInput: a number is out of range.
    """

    name: Final = "offload"
    hides: Final = False
    required: Final = False

    def __init__(self, put: Put, get: Get, *, over: int = 64 * 1024, timeout: Duration = 10) -> None:
        check_range("over of Offload", over, 0, MAX_DECODED_BYTES)
        self._put, self._get, self._over = put, get, over
        self._timeout_ms = duration_ms("timeout", timeout, low_ms=1)

    async def encode(self, data: bytes, value: Value) -> tuple[str, bytes] | None:
        """See `Codec`. What `put` raises goes to the caller."""
        if len(data) <= self._over:
            return None
        key = _address(value, data)
        async with asyncio.timeout(self._timeout_ms / 1000):
            await self._put(key, data)
        return "", key.encode()

    async def decode(self, data: bytes, note: str, value: Value) -> bytes:  # noqa: ARG002 - as of all codecs
        """See `Codec`."""
        key = data.decode("ascii", "replace")
        # Whoever can write to the storage must not choose what `get` is asked for: a path, say.
        if _ADDRESS.fullmatch(key) is None:
            raise Undecodable("It is no key of what is kept elsewhere; its bytes were changed")
        found = await self._kept(key)
        if _address(value, found) != key:
            raise Undecodable(
                f"It was kept elsewhere under {key}, and what is there now was changed, or is not its own"
            )
        return found

    async def _kept(self, key: str) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                return bytes(await self._get(key))
        except (LookupError, FileNotFoundError) as error:
            raise Undecodable(f"It was kept elsewhere under {key}, and is not there any more") from error
        except Exception as error:
            raise Undecodable(
                f"It is kept elsewhere, and cannot be had now ({type(error).__name__})", passing=True
            ) from error


_PARTS: Final = ("name", "hides", "required", "encode", "decode")


def check_codecs(codecs: Sequence[Codec]) -> tuple[Codec, ...]:
    """The codecs of a queue, each of a name of its own.

    Raises:
        InvalidInput: one is no codec, or two have one name.
    """
    found: dict[str, Codec] = {}
    for codec in codecs:
        if not all(hasattr(codec, part) for part in _PARTS):
            text = f"{codec!r:.100} is no codec; pass aiq.Zlib(), aiq.AESGCM(…), aiq.Offload(…)"
            raise InvalidInput(f"{text}, or an object with {', '.join(_PARTS)}.")
        check_name("codec", codec.name)
        if found.setdefault(codec.name, codec) is not codec:
            raise InvalidInput(f'Two codecs are named "{codec.name}". For several keys pass them to one AESGCM.')
    return tuple(found.values())


_ADDRESS: Final = re.compile(r"[0-9a-f]{64}")


def _address(value: Value, data: bytes) -> str:
    return hashlib.sha256(value.bound + b"\0" + data).hexdigest()


def _key_bytes(key_id: str, key: bytes | str) -> bytes:
    try:
        raw = base64.b64decode(key, validate=True) if isinstance(key, str) else bytes(key)
    except ValueError:
        raw = b""
    if len(raw) not in (16, 24, 32):
        raise InvalidInput(
            f'Key "{key_id}" must be 16, 24 or 32 bytes, or these in base64. '
            'Make one: python -c "import secrets, base64; print(base64.b64encode(secrets.token_bytes(32)).decode())".'
        )
    return raw


def _inflated(data: bytes) -> bytes:
    """Decompress, and stop where no more may come out."""
    machine = zlib.decompressobj()
    try:
        plain = machine.decompress(data, MAX_DECODED_BYTES + 1)
    except zlib.error as error:
        raise Undecodable("It is no compressed data; its bytes were changed") from error
    if len(plain) > MAX_DECODED_BYTES:
        raise Undecodable(f"It decompresses to more than the {MAX_DECODED_BYTES:,} bytes that are allowed")
    if not machine.eof:
        raise Undecodable("Its compressed data ends too early; its bytes were changed")
    return plain


# Any: arguments of functions of all signatures.
async def _off_loop(size: int, function: Callable[..., T], *args: Any) -> T:
    """Call a function, in a thread if there is much to do."""
    return await asyncio.to_thread(function, *args) if size > OFF_LOOP_BYTES else function(*args)
