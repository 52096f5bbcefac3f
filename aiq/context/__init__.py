"""What a handler is given: its durable points, its stream, and who it is.

`context` has the class; the rooms behind it are `steps` (the values of steps), `children` (starting jobs and reading
their results), `calls` (asking a provider), `batch` (what the handler of many jobs is given), `providers` and
`refusals` (what a provider's answers and errors say), `waits` (leaving the worker), `points` (names in use and work
under way) and `run` (what the engine gives).
"""

from aiq.context.batch import BatchCall, BatchContext, BatchItem
from aiq.context.calls import Call
from aiq.context.context import Context
from aiq.context.providers import usage_of
from aiq.context.refusals import retry_after_of
from aiq.context.run import Parked, Run

__all__ = ["BatchCall", "BatchContext", "BatchItem", "Call", "Context", "Parked", "Run", "retry_after_of", "usage_of"]
