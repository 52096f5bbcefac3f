"""Keeping the dead-letter view in step with the jobs. Spec: DEAD-1 to DEAD-6, DEAD-10, DEAD-22"""

from itertools import islice

from aiq.backends.memory.accounts import Used
from aiq.backends.memory.graves import Death, Following
from aiq.backends.memory.transition import Transaction
from aiq.bounds import DEAD_GROUP_KEPT_MS, MAX_SAMPLES
from aiq.model import JobRecord, State
from aiq.rules import deaths


def follow_end(tx: Transaction, ended: JobRecord, sample: str | None) -> None:
    """A job has ended: tell the group from which it was redriven, and put it into that of its error if it is dead."""
    graves = tx.tables.graves
    following = graves.following.get(ended.id)
    group = graves.groups.get(following.fingerprint or "") if following is not None else None
    if group is not None and ended.state is State.SUCCEEDED:
        graves.groups[group.fingerprint] = deaths.recovered(group, tx.now_ms)
    elif group is not None and ended.state is State.DEAD:
        graves.groups[group.fingerprint] = deaths.relapsed(group, tx.now_ms)
    if following is not None:
        following.fingerprint = None
    if ended.state is State.DEAD:
        _bury(tx, ended, sample)


def count_waste(tx: Transaction, job_id: str) -> None:
    """Let the group of a dead job count what that has used, as far as no death of it has counted it. Spec: DEAD-5"""
    graves = tx.tables.graves
    death, before = graves.deaths[job_id], graves.following.get(job_id, Following(""))
    used = Used()
    for one in tx.tables.accounts.usage.get(("job", job_id), {}).values():
        used += one
    tokens, usd_micros = used.tokens - before.tokens, used.usd_micros - before.usd_micros
    group = graves.groups[death.fingerprint]
    more = (tokens - death.tokens, usd_micros - death.usd_micros)
    graves.groups[death.fingerprint] = deaths.wasted(group, *more)
    death.tokens, death.usd_micros = tokens, usd_micros


def leave_group(tx: Transaction, record: JobRecord, redrive_id: str) -> None:
    """A job has another generation."""
    graves = tx.tables.graves
    death = _unbury(tx, record.id)
    before = graves.following.get(record.id, Following(""))
    following = graves.following[record.id] = Following(redrive_id, None, before.tokens, before.usd_micros)
    if death is not None:
        group = graves.groups[death.fingerprint]
        graves.groups[death.fingerprint] = deaths.redriven(group, tx.now_ms)
        following.fingerprint = death.fingerprint
        following.tokens += death.tokens
        following.usd_micros += death.usd_micros


def forget_death(tx: Transaction, job_id: str) -> None:
    """A job is removed: nothing is left of it here."""
    graves = tx.tables.graves
    death = _unbury(tx, job_id)
    graves.following.pop(job_id, None)
    if death is not None:
        graves.groups[death.fingerprint] = deaths.removed(graves.groups[death.fingerprint], tx.now_ms)


def forget_groups(tx: Transaction, limit: int) -> bool:
    """Forget at most `limit` groups in which no job has stood for long; say whether there are more. Spec: DEAD-10"""
    groups, since_ms = tx.tables.graves.groups, tx.now_ms - DEAD_GROUP_KEPT_MS
    over = (group for group in groups.values() if not group.dead and group.touched_at_ms <= since_ms)
    found = list(islice(over, limit + 1))
    for group in found[:limit]:
        del groups[group.fingerprint]
    return len(found) > limit


def _bury(tx: Transaction, ended: JobRecord, sample: str | None) -> None:
    graves = tx.tables.graves
    error = ended.last_error or deaths.no_error(ended.cause)
    name = error.fingerprint
    graves.groups[name] = deaths.died(graves.groups.get(name), ended, error, tx.now_ms)
    kept = deaths.kept_sample(sample, len(graves.samples(name)), MAX_SAMPLES)
    graves.deaths[ended.id] = Death(name, tx.now_ms, sample=kept)
    graves.members[name][ended.id] = None
    count_waste(tx, ended.id)


def _unbury(tx: Transaction, job_id: str) -> Death | None:
    graves = tx.tables.graves
    death = graves.deaths.pop(job_id, None)
    if death is not None:
        del graves.members[death.fingerprint][job_id]
        if not graves.members[death.fingerprint]:
            del graves.members[death.fingerprint]
    return death
