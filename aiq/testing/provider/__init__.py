"""An OpenAI-compatible provider for tests, demos and benchmarks: real HTTP, real streams, no bill.

    async with Provider(latency_per_token=0.002) as provider:
        client = openai.AsyncOpenAI(base_url=provider.base_url, api_key="none")
        ...
        assert provider.ledger.entries()[0].outcome is Outcome.ANSWERED

Its answers are made from the prompt (`extract.summarise`) and are the same every time; what may go wrong is
said by data (`Fault`); what it was asked is in its ledger. It listens on 127.0.0.1 only. As a process of its
own: `python -m aiq.testing.provider --port 0 --ledger FILE`.
"""

from aiq.testing.provider.calls import prompt_digest
from aiq.testing.provider.faults import Fault, FaultKind, Faults
from aiq.testing.provider.ledger import Entry, Ledger, Outcome, read_ledger
from aiq.testing.provider.server import Provider

__all__ = ["Entry", "Fault", "FaultKind", "Faults", "Ledger", "Outcome", "Provider", "prompt_digest", "read_ledger"]
