"""The statements of this store, in its own words."""

from pathlib import Path
from typing import Final

from aiq.backends.relational.sqlfiles import read

TEXTS: Final = read(Path(__file__).parent / "sql")
