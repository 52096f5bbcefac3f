"""The frozen data that crosses floors: what a storage is given, and what it answers.

Times are integer milliseconds: durations when a caller sends them, instants of the store's own clock
when a record tells them. Payloads, results, steps and chunks are bytes that no store looks into.

One room a noun: `job` (state, spec, record), `outcome` (what became of a run), `exchange` (settle and
claim), `step`, `stream`, `failure`, `answer` (the rest). Import the names from here.
"""

from aiq.model.answer import CancelAnswer, Counts, Enqueued, JobFilter, Page, Renewed, Sent, Upkept, Violation
from aiq.model.exchange import ClaimRequest, Exchanged, Settled, Settlement, Want
from aiq.model.failure import Failure
from aiq.model.job import TERMINAL, Band, Capability, Cause, JobError, JobRecord, JobSpec, Lane, Lease, State
from aiq.model.outcome import Cancelled, Died, Outcome, Released, Retried, Sleeping, Succeeded, Suspended, Waiting
from aiq.model.step import Saved, Step, StepKind, Wait
from aiq.model.stream import Appended, Chunk, ChunkKind, NewChunk, StreamPage

__all__ = [
    "TERMINAL",
    "Appended",
    "Band",
    "CancelAnswer",
    "Cancelled",
    "Capability",
    "Cause",
    "Chunk",
    "ChunkKind",
    "ClaimRequest",
    "Counts",
    "Died",
    "Enqueued",
    "Exchanged",
    "Failure",
    "JobError",
    "JobFilter",
    "JobRecord",
    "JobSpec",
    "Lane",
    "Lease",
    "NewChunk",
    "Outcome",
    "Page",
    "Released",
    "Renewed",
    "Retried",
    "Saved",
    "Sent",
    "Settled",
    "Settlement",
    "Sleeping",
    "State",
    "Step",
    "StepKind",
    "StreamPage",
    "Succeeded",
    "Suspended",
    "Upkept",
    "Violation",
    "Wait",
    "Waiting",
    "Want",
]
