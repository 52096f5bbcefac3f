"""The statements of this store, in its own words, as its driver wants them: with parameters by number."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from aiq.backends.relational.sqlfiles import read

_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")
_COMMENT: Final = re.compile(r"^\s*--.*\n", re.MULTILINE)


class Statement(NamedTuple):
    """A text, and the names of its parameters $1, $2 …"""

    text: str
    parameters: tuple[str, ...]


def numbered(text: str) -> Statement:
    """A statement with `:name` for each parameter, made one with numbers. A cast (`::`) is none."""
    text = _COMMENT.sub("", text + "\n").strip().rstrip(";")
    names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    return Statement(_PARAMETER.sub(lambda found: numbers[found[1]], text), names)


TEXTS: Final[Mapping[str, Statement]] = MappingProxyType(
    {name: numbered(text) for name, text in read(Path(__file__).parent / "sql").items()}
)
