"""The value of a step: by which type it is stored, and how it is written and read back."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_type_hints

from aiq.errors import InvalidInput, ResultInvalid
from aiq.rules.codec import Codec
from aiq.rules.writing import Unfit


def codec_of(name: str, fn: Callable[..., object], returns: object) -> Codec:
    """The codec for what `fn` returns: by `returns`, else by its annotation.

    Raises:
        InvalidInput: neither says a type, or not one that can be stored.
    """
    try:
        return Codec(_return_annotation(name, fn) if returns is None else returns)
    except Unfit as error:
        raise InvalidInput(f'What step "{name}" returns cannot be stored. {error}.') from error


def encode(key: str, codec: Codec, value: object) -> bytes:
    """What a step returned, as it is remembered.

    Raises:
        ResultInvalid: it does not fit its type, or is no JSON.
    """
    try:
        return codec.encode(value)
    except Unfit as error:
        raise ResultInvalid(f'Step "{key}" returned what cannot be remembered. {error}.') from error


def decode(key: str, codec: Codec, data: bytes) -> object:
    """What is remembered of a step, as its function returns it.

    Raises:
        ResultInvalid: it was remembered by a version of the function that returned another type.
    """
    try:
        return codec.decode(data)
    except Unfit as error:
        raise ResultInvalid(
            f'What is remembered of step "{key}" does not fit its type as it is here. {error}. Rename the step.'
        ) from error


def _return_annotation(name: str, fn: Callable[..., object]) -> object:
    plain: Any = inspect.unwrap(fn)  # Any: Callable has no __annotations__ and __globals__
    annotations = getattr(plain, "__annotations__", {})
    if "return" not in annotations:
        raise InvalidInput(
            f'Step "{name}" must know what {fn!r} returns, to read it back in a later run. '
            "Annotate what it returns, or pass returns=…"
        )
    shell = SimpleNamespace(__annotations__={"return": annotations["return"]})
    try:
        return get_type_hints(shell, plain.__globals__, include_extras=True)["return"]
    except NameError as error:
        raise Unfit(f"{error}; import what the annotation names at the top of the module") from error
