"""The command `aiq`: start workers, look at what is stored, and step in by hand. docs/cli.md shows each verb."""

from aiq.cli.main import main

__all__ = ["main"]
