"""The clock of stores that live on this host. Tests open a store with another one, turned by hand."""

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Integer milliseconds since 1970, read inside each atomic step and nowhere else. Spec: TIME-1."""


def host_clock() -> int:
    """This host's clock, which processes on one machine share."""
    return time.time_ns() // 1_000_000
