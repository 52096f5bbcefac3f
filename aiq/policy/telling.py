"""Numbers as people read them: in the sentences of a storage, of errors, and of the command line."""

from decimal import Decimal


def counted(number: int, noun: str) -> str:
    """A number and what it counts: 1 token, 2,000 tokens."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def money(usd: Decimal) -> str:
    """Dollars exactly, with cents at least: $2.50, $0.000125, -$1.00."""
    whole, _, rest = f"{abs(usd):,f}".partition(".")
    return f"{'-' if usd < 0 else ''}${whole}.{rest.rstrip('0'):0<2}"
