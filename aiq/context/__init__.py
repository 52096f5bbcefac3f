"""What a handler is given: its durable points, its stream, and who it is.

`context` has the class; the rooms behind it are `steps` (the values of steps), `children` (starting jobs and reading
their results), `waits` (leaving the worker), `points` (names in use and work under way) and `run` (what the engine
gives).
"""

from aiq.context.context import Context
from aiq.context.run import Parked, Run

__all__ = ["Context", "Parked", "Run"]
