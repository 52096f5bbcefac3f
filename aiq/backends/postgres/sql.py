"""The statements of this store, in its own words, as its driver wants them: with parameters by number."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from aiq.backends.relational.sqlfiles import read

_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")
_NUMBER: Final = re.compile(r"\$(\d+)")
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


@lru_cache(maxsize=256)
def together(names: tuple[str, ...]) -> str:
    """Several questions as one: it answers a row with the rows of each. Its parameters are those of each in turn."""
    parts, count = [], 0
    for name in names:
        text, parameters = TEXTS[name]
        parts.append(f"ARRAY(SELECT whole_row FROM ({_moved(text, count)}) AS whole_row)")  # noqa: S608 - ours
        count += len(parameters)
    return f"SELECT {', '.join(parts)}"


def _moved(text: str, by: int) -> str:
    """A statement whose parameters stand behind so many others."""
    return _NUMBER.sub(lambda found: f"${int(found[1]) + by}", text)
