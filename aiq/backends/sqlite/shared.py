"""Values that were read, each once, however many rows it was read from."""

from collections.abc import Hashable, Mapping
from typing import Final, TypeVar

T = TypeVar("T", bound=Hashable)

_KEPT: Final = 4_096
_values: Final[dict[Hashable, Hashable]] = {}
_mappings: Final[dict[tuple[tuple[str, int], ...], Mapping[str, int]]] = {}


def shared(value: T) -> T:
    """The value that was read first of all that are equal to it. `rules` tell such values apart by identity."""
    if len(_values) >= _KEPT:
        _values.clear()
    return _values.setdefault(value, value)  # type: ignore[return-value]


def shared_amounts(amounts: Mapping[str, int]) -> Mapping[str, int]:
    """The same for amounts or prices by name, which nobody changes."""
    if len(_mappings) >= _KEPT:
        _mappings.clear()
    return _mappings.setdefault(tuple(amounts.items()), amounts)
