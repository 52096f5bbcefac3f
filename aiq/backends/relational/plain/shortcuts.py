"""The shorter ways that a store has for steps of which all is plain; each store has its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiq.backends.relational.plain.habit import Habit


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Both take what the step takes. `may_be_plain` says what can be seen without a look at the storage; `make` gets
    what the store needs besides, and answers as the step does, or nothing where it finds that not all is plain."""

    # Any: each step has parameters and an answer of its own.
    make: Callable[..., Any]
    may_be_plain: Callable[..., bool] = lambda *_, **__: True


class Shortcuts:
    """Those of one door, by the step in Python that is made where there is none, and each with its habit."""

    def __init__(self, known: Mapping[Callable[..., object], Shortcut]) -> None:
        self._known = known
        self._habits = {operation: Habit() for operation in known}

    def find(
        self, operation: Callable[..., object], *args: object, **kwargs: object
    ) -> tuple[Callable[..., Any], Habit] | None:
        """The way that is worth trying for a step, and what is to learn what came of it."""
        shortcut = self._known.get(operation)
        if shortcut is None or not shortcut.may_be_plain(*args, **kwargs):
            return None
        habit = self._habits[operation]
        return (shortcut.make, habit) if habit.is_worth_asking() else None
