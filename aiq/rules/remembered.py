"""Answers that are asked for again and again. Within a step the jobs of one task stand before the same limits with the
same need, and most of what admission computes for the second of them it has just computed for the first."""

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_KEPT: Final = 1_024


def remembered(function: Callable[P, T]) -> Callable[P, T]:
    """Keep the answers of a pure function, for the very objects that it was asked about.

    For values that never change and come by position. They are told apart by identity, since many hold mappings and
    have no hash; an answer keeps what it was asked about alive, so that no other object can take its identity.
    """
    answers: dict[tuple[int, ...], tuple[object, T]] = {}

    @wraps(function)
    def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        key = tuple(map(id, args))
        known = answers.get(key)
        if known is None:
            if len(answers) >= _KEPT:
                answers.clear()
            known = answers[key] = (args, function(*args, **kwargs))
        return known[1]

    return ask
