"""One limit, one budget and the prices of one model, and what is taken, held and spent of them."""

from aiq.errors import LeaseLost
from aiq.model import BudgetSpec, CallState, Estimate, JobRecord, PriceRow, Reported, Usage
from tests.rules.ledger import Ledger, full, tokens

SMALL = Estimate(input=100, max_output=200, model="m")
SUB = 10_000
"""Sub-units of a token of the limit that these tests use."""


def stocked() -> Ledger:
    """A store with a limit of 6,000 tokens and 60 requests a minute, full, and a budget of 5,000 tokens."""
    ledger = Ledger()
    ledger.put(tokens(6_000, requests=60), BudgetSpec(id="b", caps={"tokens": 5_000}))
    ledger.price_rows = [
        PriceRow(model="m", category="input", usd_micros_per_million=1_000_000),
        PriceRow(model="m", category="output", usd_micros_per_million=2_500_000),
    ]
    full(ledger, "gpt")
    return ledger


def taken(ledger: Ledger) -> tuple[int, int]:
    """What is missing of the level, and what is held, in whole tokens."""
    state = ledger.left("gpt")
    return 6_000 - state.tokens // SUB, state.held // SUB


def asked(ledger: Ledger) -> int:
    return 60 - ledger.left("gpt").requests // (1_000 * 1_000)


def budget(ledger: Ledger) -> tuple[int, int]:
    state = ledger.balances["b", 0]
    return state.spent.get("tokens", 0), state.held.get("tokens", 0)


def started(ledger: Ledger, **fields: object) -> JobRecord:
    """A run that has reserved 100 tokens of input and 200 of output."""
    return ledger.start(limits=("gpt",), budgets=("b",), estimate=SMALL, **fields)


def settled(ledger: Ledger, record: JobRecord, call: int, *used: Usage) -> Reported | LeaseLost:
    return ledger.report(record, call, CallState.SETTLED, used=used)
