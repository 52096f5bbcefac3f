"""Arguments of a job from the command line, as they are stored."""

from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from aiq.bounds import MAX_DECODED_BYTES
from aiq.cli.loading import load_code
from aiq.errors import InvalidInput, PayloadInvalid, UnknownTask
from aiq.job import until_known
from aiq.model import Content, Estimate, JobRecord
from aiq.rules.arguments import VERSION, Envelope, upstream
from aiq.rules.coding import check_readable
from aiq.storage import Storage
from aiq.task import Task

FORMS: Final = (
    "other arguments, in JSON: as a list, as an object by their names, or as "
    "`aiq show --payload` shows them; @FILE reads them from a file"
)
TASKS: Final = "a worker, or a list of tasks, against which arguments are checked"
_ENVELOPE: Final = msgspec.json.Decoder(Envelope)


def payload(text: str) -> bytes:
    """What stands behind --payload, as it is stored: a list, an object, or what `aiq show --payload` shows."""
    data = _read(text[1:]) if text.startswith("@") else text.encode(errors="surrogatepass")
    try:
        given: object = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ArgumentTypeError(f"it is not JSON ({error}); a text needs its quotes: '[\"text\"]'") from error
    if isinstance(given, list):
        return _envelope(given, {})
    if not isinstance(given, dict):
        raise ArgumentTypeError("it is neither a list of arguments nor an object of them by name: '[\"text\"]'")
    return _as_shown(data, given)


def check_tasks(payload: bytes | None, tasks: str | None) -> None:
    """Refuse tasks without arguments to check against them."""
    if tasks is not None and payload is None:
        raise InvalidInput("--tasks is what arguments are checked against. Pass --payload too, or leave it out.")


async def content(storage: Storage, ids: Sequence[str], payload: bytes, tasks: str | None) -> Content | None:
    """Other arguments for a stored job; None if it is not stored. With `tasks` they are checked against its task,
    whose estimate is asked anew; else its estimate stays.

    Raises:
        InvalidInput: several jobs are named; the arguments are none for the task, or leave out results of other jobs;
            or the standing ones are encoded, and the codecs are not named.
        UnknownTask: the job is of a task that is not among `tasks`.
    """
    if len(ids) != 1:
        raise InvalidInput("Arguments are those of one job: name one ID with --payload, and change each by itself.")
    (record,) = await until_known(lambda: storage.get(ids))
    if record is None:
        return None
    # Else what others may not read would be stored as plain text.
    check_readable(record.payload)
    _check_outputs(record, payload)
    return Content(task=record.task, payload=payload, estimate=_estimate(record, payload, tasks))


def _envelope(positional: Sequence[object], named: dict[str, Any]) -> bytes:
    return msgspec.json.encode(
        Envelope(
            v=VERSION,
            a=tuple(msgspec.Raw(msgspec.json.encode(one)) for one in positional),
            k={name: msgspec.Raw(msgspec.json.encode(one)) for name, one in named.items()},
        )
    )


def _as_shown(data: bytes, given: dict[str, Any]) -> bytes:
    """An object, which is the whole of a payload if it looks like one."""
    try:
        shown = _ENVELOPE.decode(data)
    except msgspec.MsgspecError:
        return _envelope([], given)
    if shown.v != VERSION:
        raise ArgumentTypeError(f"it is a payload of version {shown.v}, and this aiq writes {VERSION}")
    plain = msgspec.json.decode(_envelope(given["a"], given["k"]))
    return msgspec.json.encode(plain | ({"o": given["o"]} if shown.o else {}))


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_DECODED_BYTES + 1)
    except OSError as error:
        raise ArgumentTypeError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_DECODED_BYTES:
        raise ArgumentTypeError(f"{path} has more than the {MAX_DECODED_BYTES:,} bytes that arguments may have")
    return data


def _check_outputs(record: JobRecord, payload: bytes) -> None:
    try:
        lost = set(upstream(record.payload)) - set(upstream(payload))
    except PayloadInvalid:
        return  # what stands is no payload of a task at all, which is why somebody mends it
    if lost:
        raise InvalidInput(
            f"Among the arguments of job {record.id!r} are results of other jobs: {', '.join(sorted(lost))}. Change "
            "what `aiq show ID --payload --json` shows as `payload`, and leave its `o` as it is."
        )


def _estimate(record: JobRecord, payload: bytes, tasks: str | None) -> Estimate | None:
    """What the job needs with other arguments, where somebody can tell."""
    if tasks is None:
        return record.estimate
    # Any: tasks of all signatures.
    known: dict[str, Task[Any, object]] = {one.name: one for one in load_code(tasks)[0] if isinstance(one, Task)}
    if record.task not in known:
        raise UnknownTask(record.task, known)
    if upstream(payload):
        return record.estimate
    known[record.task].decode(payload)
    return known[record.task].estimated(payload)
