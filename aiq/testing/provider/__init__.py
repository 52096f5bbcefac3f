"""An OpenAI-compatible provider for tests, demos and benchmarks: real HTTP, real streams, no bill.

    async with Provider(latency_per_token=0.002, limits=[RateLimit(requests=600, tokens=450_000)]) as provider:
        client = openai.AsyncOpenAI(base_url=provider.base_url, api_key="none")
        ...
        assert provider.ledger.entries()[0].outcome is Outcome.ANSWERED

Its answers are made from the prompt (`extract.summarise`) and are the same every time; what may go wrong is
said by data (`Fault`), and so is how much may be asked (`RateLimit`); what it was asked is in its ledger. A request may
ask for sizes that it does not have (`calls.Simulate`). It listens on 127.0.0.1 only. As a process of its own:
`python -m aiq.testing.provider --port 0 --ledger FILE`.
"""

from aiq.testing.provider.calls import prompt_digest
from aiq.testing.provider.faults import Fault, FaultKind, Faults
from aiq.testing.provider.ledger import Entry, Ledger, Outcome, Totals, read_ledger
from aiq.testing.provider.limiter import Limiter
from aiq.testing.provider.limits import BucketState, RateLimit
from aiq.testing.provider.server import Provider

__all__ = [
    "BucketState",
    "Entry",
    "Fault",
    "FaultKind",
    "Faults",
    "Ledger",
    "Limiter",
    "Outcome",
    "Provider",
    "RateLimit",
    "Totals",
    "prompt_digest",
    "read_ledger",
]
