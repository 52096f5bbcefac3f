"""The same documents once more, without the queue and its limits, with a simulator of its own."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from aiq.testing.provider import read_ledger
from examples.digesting import prove
from examples.digesting.processes import DONE, ProcessFailed, start
from examples.digesting.provider import simulated
from examples.digesting.report import Calls, calls_of
from examples.digesting.tasks import Plan


async def calls_without_limits(plan: Plan, hear: Callable[[str], None]) -> Calls:
    """Ask all questions of a digest as `unlimited` does, throw the answers away, and count what the provider says."""
    slots = ["--slots", str(prove.slots_for(len(plan.documents)))]
    with TemporaryDirectory() as folder:
        ledger = Path(folder, "calls.jsonl")
        async with simulated(ledger, hear) as (environment, _):
            arguments = [plan.folder, "--model", plan.model, "--output", plan.output, *slots]
            asker = await start("examples.digesting.unlimited", arguments, environment, hear)
            hear("The same questions are asked without limits too, of another simulator.")
            try:
                how = await asker.ended()
            finally:
                await asker.stop()
        if how != DONE:
            raise ProcessFailed(f"The run without limits {how}.")
        return calls_of(read_ledger(ledger))
