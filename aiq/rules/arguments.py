"""The arguments of a job: bound to a signature, stored as an envelope, and put together again for the handler.

The envelope is plain JSON: {"v": 1, "a": [by position], "k": {by name}, "o": [[path, job id], …]}. `o` says
which places are filled by the results of other jobs before the handler sees them; null stands there.
"""

import inspect
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Final

import msgspec

from aiq.errors import PayloadInvalid
from aiq.model import Failure
from aiq.rules.codec import Codec
from aiq.rules.writing import Output, Path, Unfit, Written, canonical, show, write

VERSION: Final = 1


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a payload consists of."""

    v: int
    a: tuple[msgspec.Raw, ...]
    k: dict[str, msgspec.Raw]
    o: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments that fit a signature, as JSON. `places` name outputs by their path from the envelope's top;
    `canonical` is what a digest is made of."""

    positional: tuple[bytes, ...]
    named: Mapping[str, bytes]
    places: tuple[tuple[Path, Output], ...]
    canonical: bytes

    def envelope(self, id_of: Callable[[Output], str]) -> bytes:
        """The payload, with the id of the job that each output belongs to."""
        return msgspec.json.encode(
            Envelope(
                v=VERSION,
                a=tuple(map(msgspec.Raw, self.positional)),
                k={name: msgspec.Raw(data) for name, data in self.named.items()},
                o=tuple((path, id_of(output)) for path, output in self.places),
            )
        )


class Parameters:
    """What a task's function takes and returns. Annotations are looked up at first use, not at import."""

    def __init__(self, task: str, function: Callable[..., object], *, takes_context: bool) -> None:
        self._task, self._function, self._takes_context = task, function, takes_context
        self._codecs: dict[str, Codec] = {}

    def encode(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        """Check arguments against the signature and the annotations, and write them.

        Raises:
            PayloadInvalid: they do not fit, or cannot be written as JSON; the text says which and where.
        """
        args, kwargs = self._placed(args, kwargs)
        positional = [self._write(self._at(index), value) for index, value in enumerate(args)]
        named = {name: self._write(self._named(name), value) for name, value in kwargs.items()}
        keyed: list[tuple[Path, Written]] = [
            *((("a", index), written) for index, written in enumerate(positional)),
            *((("k", name), written) for name, written in named.items()),
        ]
        return Arguments(
            tuple(written.data for written in positional),
            {name: written.data for name, written in named.items()},
            tuple(((*start, *path), output) for start, written in keyed for path, output in written.places),
            canonical([args, kwargs]),
        )

    def decode(
        self, payload: bytes, outputs: Mapping[str, bytes | Failure]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """Read a payload as typed arguments. `outputs` has the result, or the Failure, of each id of `upstream`.

        Raises:
            PayloadInvalid: the payload does not fit this version of the function.
        """
        envelope = _filled(_open(payload), outputs)
        if not self._fits(envelope.a, envelope.k):
            self._bind(envelope.a, envelope.k)
        args = tuple(self._read(self._at(index), raw) for index, raw in enumerate(envelope.a))
        return args, {name: self._read(self._named(name), raw) for name, raw in envelope.k.items()}

    def closed_to_failure(self, arguments: Arguments) -> str | None:
        """The first parameter that is given an output and whose annotation does not say that it takes a Failure."""
        for path, _ in arguments.places:
            name = self._at(path[1]) if isinstance(path[1], int) else self._named(path[1])
            if not _mentions_failure(self._hints.get(name, Any)):
                return name
        return None

    def codec(self, name: str) -> Codec:
        """The codec of a parameter, or of "return"; of plain JSON where there is no annotation.

        Raises:
            Unfit: the annotation cannot be looked up, or JSON has no form for it.
        """
        if name not in self._codecs:
            self._codecs[name] = Codec(self._hints.get(name, Any))
        return self._codecs[name]

    @cached_property
    def signature(self) -> inspect.Signature:
        """What a job is given: the function's own, without the context."""
        signature = inspect.signature(self._function)
        return signature.replace(parameters=list(signature.parameters.values())[int(self._takes_context) :])

    @cached_property
    def _hints(self) -> dict[str, object]:
        # Only what is stored is looked up: the context is often imported for type checkers alone.
        return self._looked_up({*self.signature.parameters, "return"})

    def _looked_up(self, stored: Collection[str]) -> dict[str, object]:
        plain: Any = inspect.unwrap(self._function)  # Any: Callable has no __annotations__ and __globals__
        shell = SimpleNamespace(__annotations__={n: h for n, h in plain.__annotations__.items() if n in stored})
        try:
            return typing.get_type_hints(shell, plain.__globals__, include_extras=True)
        except (NameError, AttributeError) as error:
            raise Unfit(
                f"{error}; annotations are needed at run time, so import what they name at the top of the module, "
                "outside `if TYPE_CHECKING`"
            ) from error

    def _placed(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[Sequence[object], Mapping[str, object]]:
        """The arguments as they are stored, by position as far as they can be.

        Raises:
            PayloadInvalid: they do not fit the signature.
        """
        if self._fits(args, kwargs):
            return args, kwargs
        bound = self._bind(args, kwargs)
        return bound.args, bound.kwargs

    def _fits(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
        """Whether they come as most do, and fit: to bind arguments takes longer than to write or read them."""
        return not kwargs and len(args) in self._by_position

    @cached_property
    def _by_position(self) -> range:
        """How many arguments may be given by position alone."""
        given = self.signature.parameters.values()
        if any(p.kind is p.VAR_POSITIONAL or (p.kind is p.KEYWORD_ONLY and p.default is p.empty) for p in given):
            return range(0)
        places = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        return range(sum(p.default is p.empty for p in places), len(places) + 1)

    def _bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> inspect.BoundArguments:
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise PayloadInvalid(f'Task "{self._task}" takes {self.signature}: {error}.') from error

    def _at(self, index: int) -> str:
        """The parameter of the positional argument `index`; *args has all those beyond the others."""
        return self._places[min(index, len(self._places) - 1)]

    @cached_property
    def _places(self) -> list[str]:
        return [p.name for p in self.signature.parameters.values() if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]

    def _named(self, name: str) -> str:
        """The parameter of the argument `name`, which may be one of **kwargs."""
        parameters = self.signature.parameters
        return name if name in parameters else next(p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD)

    def _write(self, name: str, value: object) -> Written:
        """Write one argument. With outputs in it, it can only be checked when they are there: in the run."""
        try:
            codec, written = self.codec(name), write(value)
            if not written.places:
                codec.decode(written.data)
        except Unfit as error:
            raise self._unfit(name, error) from error
        return written

    def _read(self, name: str, raw: msgspec.Raw) -> object:
        try:
            return self.codec(name).decode(bytes(raw))
        except Unfit as error:
            raise self._unfit(name, error) from error

    def _unfit(self, name: str, error: Unfit) -> PayloadInvalid:
        return PayloadInvalid(f'Task "{self._task}", argument {name}: {error}.')


def _mentions_failure(annotation: object) -> bool:
    open_to_all = annotation in (Any, object, Failure)
    return open_to_all or any(_mentions_failure(inner) for inner in typing.get_args(annotation))


def upstream(payload: bytes) -> tuple[str, ...]:
    """The jobs whose results a payload needs, each once, in the order of their places.

    Raises:
        PayloadInvalid: the bytes are no envelope.
    """
    return tuple(dict.fromkeys(job_id for _, job_id in _open(payload).o))


def read_by(payload: bytes) -> tuple[str, ...]:
    """As `upstream`; what is no envelope reads the result of none."""
    try:
        return upstream(payload)
    except PayloadInvalid:
        return ()


def renamed(payload: bytes, names: Mapping[str, str]) -> bytes:
    """A payload that reads the results of other jobs: of those that are named instead of those it read before."""
    if names.keys().isdisjoint(read_by(payload)):
        return payload
    envelope = _open(payload)
    places = tuple((path, names.get(job_id, job_id)) for path, job_id in envelope.o)
    return msgspec.json.encode(msgspec.structs.replace(envelope, o=places))


_ENVELOPE: Final = msgspec.json.Decoder(Envelope)


def _open(payload: bytes) -> Envelope:
    try:
        envelope = _ENVELOPE.decode(payload)
    except msgspec.MsgspecError as error:
        raise PayloadInvalid(f"The payload is not an envelope of arguments: {error}.") from error
    if envelope.v != VERSION:
        raise PayloadInvalid(
            f"The payload has version {envelope.v}, and this aiq reads {VERSION}. Update aiq where the worker runs."
        )
    return envelope


def _filled(envelope: Envelope, outputs: Mapping[str, bytes | Failure]) -> Envelope:
    """The envelope with the outputs in their places. Their bytes are put there as they are, unread."""
    if not envelope.o:
        return envelope
    args = [msgspec.json.decode(raw) for raw in envelope.a]
    kwargs = {name: msgspec.json.decode(raw) for name, raw in envelope.k.items()}
    for path, job_id in envelope.o:
        _put({"a": args, "k": kwargs}, path, _as_json(outputs[job_id]))
    return Envelope(
        v=VERSION,
        a=tuple(msgspec.Raw(msgspec.json.encode(arg)) for arg in args),
        k={name: msgspec.Raw(msgspec.json.encode(arg)) for name, arg in kwargs.items()},
    )


def _as_json(output: bytes | Failure) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(output) if isinstance(output, Failure) else output)


# Any: inside a JSON document every subscript is legal until it is tried.
def _put(tree: Any, path: Path, value: msgspec.Raw) -> None:
    *way, last = path
    try:
        for part in way:
            tree = tree[part]
        tree[last] = value
    except (LookupError, TypeError) as error:
        raise PayloadInvalid(f"The payload names a place for an output that is not in it: {show(path)}.") from error
