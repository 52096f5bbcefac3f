"""Statements of SQL, in files named like the operations they belong to.

A file holds a header (what the statements do, `-- spec:` and its clauses) and, each after a line `-- name: …`,
statements with named parameters. They are static text: nothing is ever put into one but by a parameter.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

FOLDER: Final = Path(__file__).parent / "sql"
_NAMED: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(operation: str) -> MappingProxyType[str, str]:
    """The statements of `sql/<operation>.sql`, by name."""
    _, *parts = _NAMED.split((FOLDER / f"{operation}.sql").read_text(encoding="utf-8"))
    return MappingProxyType({name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)})


def operations() -> Iterator[str]:
    """The names of all files."""
    return (path.stem for path in sorted(FOLDER.glob("*.sql")))
