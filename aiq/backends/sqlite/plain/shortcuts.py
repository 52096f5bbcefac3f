"""Which steps have a shorter way, where all of it is plain."""

from collections.abc import Callable, Mapping
from typing import Final

from aiq.backends.relational.enqueue import enqueue as enqueue_step
from aiq.backends.relational.exchange import exchange as exchange_step
from aiq.backends.relational.plain import enqueue as plain_enqueue
from aiq.backends.relational.plain import exchange as plain_exchange
from aiq.backends.relational.plain.shortcuts import Shortcut
from aiq.backends.sqlite.plain import enqueue, exchange

SHORTCUTS: Final[Mapping[Callable[..., object], Shortcut]] = {
    enqueue_step: Shortcut(enqueue.enqueue, plain_enqueue.may_be_plain),
    exchange_step: Shortcut(exchange.exchange, plain_exchange.may_be_plain),
}
"""By the step in Python that is made where there is none, or where not all turns out to be plain."""
