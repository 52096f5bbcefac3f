"""Statements of SQL, in files named like the operations they belong to.

A file holds a header (what the statements do, `-- spec:` and its clauses) and, each after a line `-- name: …`,
statements with named parameters. They are static text: nothing is ever put into one but by a parameter.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

_NAMED: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def read(folder: Path) -> Mapping[str, str]:
    """The statements of all files of a folder, by the name of the file and their own: `claim.next`."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.sql")):
        _, *parts = _NAMED.split(path.read_text(encoding="utf-8"))
        found |= {f"{path.stem}.{name}": body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return MappingProxyType(found)
