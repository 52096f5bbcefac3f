"""Reading prices."""

from operator import attrgetter

from aiq.backends.relational.admission import admission
from aiq.backends.relational.transaction import Transaction
from aiq.model import PriceRow


def get_prices(tx: Transaction, model: str) -> list[PriceRow]:
    """Read every price of a model, by category and instant. Spec: USAGE-7"""
    return sorted(admission(tx).ledger.prices(model), key=attrgetter("category", "from_ms"))
