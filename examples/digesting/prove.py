"""The proof: what was and was not paid again, judged by the provider's own ledger and by nothing that aiq says."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aiq.testing.provider import Entry, Outcome
from examples.digesting.watch import Picture

LAST_MOMENT_MS: Final = 500
"""An answer may be complete at the provider, and not yet stored when the worker dies. This is how long before the
death that may have been; what was complete earlier should have been stored."""
SLOTS: Final = 4
"""Documents that one worker has under way at once."""
DONE_FIRST: Final = 2
"""Documents to be done before the worker is killed, if there are enough of them."""

Verdict = Literal["paid once", "cut, asked again", "answered too late", "asked again", "paid twice", "not paid"]
REPEATED: Final = ("cut, asked again", "answered too late")
"""What a kill explains. The second is the one moment in which no queue can help: the provider has answered, and the
worker dies before it can say so. The idempotency key of the call is what a provider can recognise it by."""
FINE: Final = ("paid once", *REPEATED)


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of time that began with nobody at work: with the start of the program, or the death of a worker.

    `remembered` are the keys of the calls whose answers were stored at that moment, and must never be asked again.
    """

    at_ms: int
    remembered: frozenset[str]


@dataclass(frozen=True, slots=True)
class Account:
    """What the ledger says of one call of the pipeline, which may have been asked for more than once."""

    name: str
    calls: int
    answered: int
    at_the_kill: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Proof:
    """All accounts, and what a second start of the same digest did."""

    accounts: tuple[Account, ...]
    kills: int
    second_start_calls: int
    file_unchanged: bool

    @property
    def holds(self) -> bool:
        """Whether a worker died at work, only what it cut was asked again, and a second start did nothing."""
        verdicts = {account.verdict for account in self.accounts}
        return (
            self.kills > 0
            and not verdicts.isdisjoint(REPEATED)
            and verdicts.issubset(FINE)
            and self.second_start_calls == 0
            and self.file_unchanged
        )


def slots_for(documents: int) -> int:
    """How many slots a worker has that is to be killed: fewer than documents, so that some are done before others."""
    return min(SLOTS, max(1, documents - 1))


def worth_killing(picture: Picture) -> bool:
    """Whether this is the moment: some documents are done, and another one is streaming.

    It comes for sure, because it asks for no more done than there are documents that begin when others have ended.
    """
    documents = len(picture.documents)
    enough = min(DONE_FIRST, documents - slots_for(documents))
    return picture.summarised >= enough and any(row in picture.documents for row in picture.streaming)


def judge(entries: Iterable[Entry], names: Mapping[str, str], epochs: Sequence[Epoch]) -> tuple[Account, ...]:
    """Go through the ledger. `names` has a name for each key by which the pipeline asks, in order."""
    calls: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        # What is refused is not paid.
        if entry.outcome is not Outcome.REJECTED:
            calls[entry.idempotency_key or ""].append(entry)
    return tuple(_account(name, key, calls[key], epochs) for key, name in names.items())


def _account(name: str, key: str, calls: Sequence[Entry], epochs: Sequence[Epoch]) -> Account:
    answered = sum(call.outcome is Outcome.ANSWERED for call in calls)
    return Account(name, len(calls), answered, _at_the_kill(key, calls, epochs), _verdict(key, calls, epochs))


def _verdict(key: str, calls: Sequence[Entry], epochs: Sequence[Epoch]) -> Verdict:
    if not calls or calls[-1].outcome is not Outcome.ANSWERED:
        return "not paid"
    unexplained = [call for call in calls[:-1] if not _cut(call, epochs)]
    if _asked_although_remembered(key, calls, epochs) or any(c.outcome is Outcome.ANSWERED for c in unexplained):
        return "paid twice"
    if unexplained:
        return "asked again"
    if len(calls) == 1:
        return "paid once"
    return "answered too late" if any(c.outcome is Outcome.ANSWERED for c in calls[:-1]) else "cut, asked again"


def _asked_although_remembered(key: str, calls: Sequence[Entry], epochs: Sequence[Epoch]) -> bool:
    return any(key in epoch.remembered and call.started_at_ms > epoch.at_ms for epoch in epochs for call in calls)


def _cut(call: Entry, epochs: Sequence[Epoch]) -> bool:
    """Whether a worker died during this call, or too soon after it to have stored the answer."""
    start, *deaths = epochs
    if call.started_at_ms <= start.at_ms:
        return True  # by whoever worked before this program was started; what he had stored, the start knows
    ended_ms = call.finished_at_ms or call.started_at_ms
    return any(call.started_at_ms <= death.at_ms <= ended_ms + LAST_MOMENT_MS for death in deaths)


def _at_the_kill(key: str, calls: Sequence[Entry], epochs: Sequence[Epoch]) -> str:
    """Where a call stood when the first worker died."""
    if len(epochs) == 1:
        return ""
    death = epochs[1]
    if key in death.remembered:
        return "done"
    return "under way" if any(call.started_at_ms <= death.at_ms for call in calls) else "not begun"
