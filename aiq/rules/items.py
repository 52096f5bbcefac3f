"""What a batch task takes and returns for one item, read from the annotations of a handler of lists."""

import inspect
from collections.abc import Sequence
from functools import cached_property
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from aiq.model import Failure
from aiq.rules.arguments import Parameters
from aiq.rules.writing import Unfit

ITEM: Final = "item"


class ItemParameters(Parameters):
    """The parameters of one job of a batch task: its item, and what the list that is returned holds in its place.

    `(items: list[T]) -> list[R | Failure]` is, for one job, `(item: T) -> R`.
    """

    @cached_property
    def signature(self) -> inspect.Signature:
        """What a job is given: one item, by position."""
        return inspect.Signature([inspect.Parameter(ITEM, inspect.Parameter.POSITIONAL_ONLY)])

    @cached_property
    def _hints(self) -> dict[str, object]:
        name = list(inspect.signature(self._function).parameters)[-1]
        found = self._looked_up({name, "return"})
        answers = _element("what the handler returns", found.get("return", Any))
        return {ITEM: _element(name, found.get(name, Any)), "return": _without_failures(answers)}


def _element(what: str, annotation: object) -> object:
    """What a list of this annotation holds.

    Raises:
        Unfit: it is no list.
    """
    if annotation in (Any, list, Sequence):
        return Any
    if get_origin(annotation) in (list, Sequence):
        return get_args(annotation)[0]
    raise Unfit(f"{what} is annotated `{annotation}`; a batch task takes and returns lists, such as list[str]")


def _without_failures(annotation: object) -> object:
    """What is stored: a Failure or an exception in the place of an answer is no result."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    kept = tuple(member for member in get_args(annotation) if not _fails(member))
    return Union[kept] if kept else Any  # noqa: UP007 - a union of what is only known at run time


def _fails(member: object) -> bool:
    return isinstance(member, type) and issubclass(member, Failure | BaseException)
