"""Storing prices."""

from collections.abc import Sequence

from aiq.backends.relational.admission import admission
from aiq.backends.relational.transaction import Transaction
from aiq.model import HeldFor, PriceRow


def put_prices(tx: Transaction, prices: Sequence[PriceRow], *, absent_only: bool) -> None:
    """Store rows by model, category and instant, and let jobs go that are held for a price. Spec: USAGE-7, HOLD-8"""
    ledger = admission(tx).ledger
    lists = ledger.price_lists
    lists.fetch(row.model for row in prices)
    left_alone = {row.model for row in prices if absent_only and lists.get(row.model)}
    for row in prices:
        if row.model not in left_alone:
            others = [one for one in lists.get(row.model) or () if _place(one) != _place(row)]
            lists.put(row.model, (*others, row))
            ledger.rooms.setdefault((HeldFor.PRICE, row.model), False)


def _place(row: PriceRow) -> tuple[str, int]:
    return (row.category, row.from_ms)
