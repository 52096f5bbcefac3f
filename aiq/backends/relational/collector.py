"""Steps without the cyclic garbage collector.

A step of a hundred jobs makes thousands of objects that live until it ends, and then go by their reference counts. A
collector that looks for cycles among them on the way finds none, and lets them grow old, after which it looks at all
objects of the process as well: a tenth of the time of a claim, where jobs take limits.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_steps = 0
"""How many are under way, in all threads."""
_paused = False
"""Whether it was these that have paused the collector: where somebody else has, it stays as it is."""


@contextmanager
def without_collector() -> Iterator[None]:
    """Pause the collector of the process for a step, which takes milliseconds, and bounds what it makes."""
    global _steps, _paused  # noqa: PLW0603 - the collector is one for the process, and so is this
    with _lock:
        _steps += 1
        if gc.isenabled():
            gc.disable()
            _paused = True
    try:
        yield
    finally:
        with _lock:
            _steps -= 1
            if _paused and not _steps:
                _paused = False
                gc.enable()
