"""The four priorities by their names."""

from typing import Literal, TypeAlias

from aiq.errors import InvalidInput
from aiq.model import Band

BandName: TypeAlias = Literal["interactive", "high", "normal", "batch"]
"""The four priorities, most urgent first."""


def band_of(value: BandName | Band) -> Band:
    """The band of a name.

    Raises:
        InvalidInput: there is no such band.
    """
    if isinstance(value, Band):
        return value
    named = {band.name.lower(): band for band in Band}
    if value not in named:
        raise InvalidInput(f"band is {value!r}; the bands are {', '.join(named)}.")
    return named[value]
