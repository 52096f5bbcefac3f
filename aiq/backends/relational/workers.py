"""The register of workers."""

from typing import Final

import msgspec

from aiq.backends.relational.connection import Question
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import WORKER_KEPT_MS
from aiq.model import Beat, WorkerStatus
from aiq.rules.workers import status_of

SQL: Final = load("workers")
_BEATS: Final = msgspec.json.Decoder(Beat)


def put_beat(tx: Transaction, beat: Beat) -> None:
    """Write down what a worker says of itself. Spec: WORK-1"""
    row = {"name": beat.worker, "started_at_ms": tx.now_ms - beat.up_ms, "now_ms": tx.now_ms}
    tx.run(SQL["beat"], {**row, "body": msgspec.json.encode(beat).decode()})


def remove_worker(tx: Transaction, worker: str) -> None:
    """Strike a worker off. Spec: WORK-3"""
    tx.run(SQL["leave"], {"name": worker})


def workers(tx: Transaction, after: str, limit: int) -> list[WorkerStatus]:
    """Read workers in the order of their names. Spec: WORK-2, WORK-5"""
    return [
        status_of(_BEATS.decode(body), started_at_ms, beat_at_ms, tx.now_ms)
        for started_at_ms, beat_at_ms, body in tx.rows(SQL["page"], {"after": after, "limit": limit})
    ]


def forget_workers(tx: Transaction, limit: int) -> None:
    """Forget at most `limit` workers that have long been silent. Spec: WORK-4"""
    tx.run(SQL["forget"], {"since_ms": tx.now_ms - WORKER_KEPT_MS, "limit": limit})


def any_long_silent(tx: Transaction) -> bool:
    """Whether there is a worker to forget."""
    return bool(tx.rows(*question_silent(tx))[0][0])


def question_silent(tx: Transaction) -> Question:
    """What `any_long_silent` will ask, for `foresee`."""
    return SQL["silent"], {"since_ms": tx.now_ms - WORKER_KEPT_MS}
