"""Reading prices."""

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.transition import Transaction
from aiq.model import PriceRow


def get_prices(tx: Transaction, model: str) -> list[PriceRow]:
    """Read every price of a model, by category and instant. Spec: USAGE-7"""
    return list(MemoryBooks(tx).prices(model))
