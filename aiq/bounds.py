"""Every limit of the storage contract, by name, with the reason for its size.

A list, batch, buffer or wait without a limit is a bug. Sizes are bytes, times are milliseconds. They are
enforced twice: where a user calls, so that nothing too large travels, and in every store, so that no
client can get round them. spec/09-storage.md publishes them.
"""

import re
from typing import Final

MAX_BATCH: Final = 256
"""Jobs in one enqueue, settlements and claims in one exchange, leases in one renewal, chunks in one append, jobs whose
streams one read is about."""
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Payload bytes in one enqueue and given by one claim, result bytes in one exchange, bytes of all chunks in one append:
what a store may have to hold in memory inside one atomic step."""
MAX_LEFT_STEPS: Final = 8
"""Steps in which one operation stores jobs that were left in transactions of callers; then it goes on with its own."""
MAX_LEFT_BYTES: Final = 512 * 1024
"""What one such step reads of the rows in which they were left, unless the first alone is more."""
MAX_PAGE: Final = 256
"""Rows that one `get`, `list`, `read` or `get_steps` answers with."""
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Payloads and results, values of steps, or data of items that one page of `list`, `get_steps` or `read` answers with:
it ends with the one that reaches this. The pages of one `read` end so together, but each has its first item."""
MAX_FLOW: Final = 100_000
"""Jobs of one flow, which its producer holds in memory."""
STAGE_KEPT_MS: Final = 3_600_000
"""How long a flow that one step cannot hold may take to be stored."""
MAX_LOOKED: Final = 4_096
"""Jobs that one listing looks at: what a filter means may be far from where it begins to look."""
MAX_TOLD: Final = 10_000
"""Ids of what was done, and refusals, that the account of a redrive, replay or purge holds; all of them are counted."""
MAX_SWEEP: Final = 256
"""Jobs that one sweep promotes, revokes or times out: the other sweeps and claims must get their turn."""
MAX_FLIPS: Final = 256
"""Edges that one terminal step flips; the rest goes through the outbox."""

MAX_PAYLOAD_BYTES: Final = 256 * 1024
MAX_RESULT_BYTES: Final = 1024 * 1024
MAX_STEP_BYTES: Final = 1024 * 1024
MAX_SIGNAL_BYTES: Final = 64 * 1024
MAX_CHUNK_BYTES: Final = 64 * 1024
MAX_DECODED_BYTES: Final = 16 * 1024 * 1024
"""What a value may be before its codecs, and what they may make of a stored one: a small one may claim to be huge."""
MAX_STREAM_BYTES: Final = 16 * 1024 * 1024
ITEM_OVERHEAD_BYTES: Final = 64
"""What an item of a stream takes of MAX_STREAM_BYTES beside its data, so that empty items are bounded too."""
LOG_ROOM_BYTES: Final = 8 * 1024 * 1024
"""How far lines of the log may fill a stream; a worker leaves out those beyond, so that output finds room."""
PROGRESS_ROOM_BYTES: Final = 10 * 1024 * 1024
"""The same of progress, which goes on for a while after the log is cut: the newest item is the job's progress."""
MAX_ERROR_BYTES: Final = 16 * 1024
"""Longer error texts are cut, not refused: a failure must always be recordable."""
MAX_ERRORS: Final = 8
"""Errors kept with a job; older ones give way."""
MAX_PATTERN_BYTES: Final = 1_024
"""Of the message that the failures of one kind have in common."""
MAX_SAMPLES: Final = 3
"""Inputs kept with the dead of one kind."""
MAX_SAMPLE_BYTES: Final = 2_048
"""Longer ones are cut."""
DEAD_GROUP_KEPT_MS: Final = 30 * 24 * 3_600_000
"""How long a group of dead jobs in which none stands any more is kept after it last changed."""
MAX_PURGED: Final = 64
"""Jobs that one call of upkeep lets go: it holds up claims for as long as that takes, and nobody waits for it."""
MAX_PURGED_BYTES: Final = 256 * 1024
"""Payloads and results of the jobs that one call of upkeep lets go: it ends with the one that reaches this. A store
writes about as much as it gives up."""
MAX_PURGED_ROWS: Final = 2_048
"""Rows that one call of upkeep removes of jobs that are gone: a job may have tens of thousands."""
PUT_OFF_MS: Final = 3_600_000
"""When upkeep looks again at a job whose time is over, and that must stay."""
MAX_KEEP_MS: Final = 10 * 366 * 24 * 3_600_000
"""A period of retention."""
MAX_KEPT: Final = 10**9
"""A bound of retention on how many are kept."""
MAX_STEPS: Final = 10_000
MAX_KEPT_SIGNALS: Final = 1_000
"""Signals kept for waits that have not begun."""
MAX_PER_KEY: Final = 64
"""Jobs of one ordered key that go on at once: as many as one step may have to let into their lanes, or take out."""
MAX_DEPENDENCIES: Final = 10_000
"""Edges into one job, into the jobs of one batch, and those that a redrive opens again; a wider fan-in is a tree."""

MAX_NAME_CHARS: Final = 128
NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_NAME_CHARS - 1}}}")
"""Names of queues, tasks, signals and limits: an alphabet that is safe in keys, topics, files and shells."""
MAX_OPAQUE_BYTES: Final = 256
"""Tenants, keys, ids, step keys, signal ids: opaque text chosen by users."""
MAX_STEP_NAME_BYTES: Final = 200
"""The name of a step, gather or sleep; with its ordinal (name#10000) it is a step key."""
MAX_LIMITS: Final = 16
"""Limits, and routes, that one job names: an admission looks at each of them in one step."""

MAX_AMOUNT: Final = 10**12
"""Tokens of one call, and of a limit in its period: so that a thousand of them times a thousand stay below 2^53."""
MAX_MONEY: Final = 10**15
"""Micro-dollars of a budget, and of a price for a million tokens: a billion dollars."""
MAX_LEVEL: Final = 2**53 - 1
"""The largest number that every store keeps exactly; a limit whose bucket would pass half of it is refused."""
MAX_PERIOD_MS: Final = 31 * 24 * 3_600_000
"""The period of a limit, its burst and its ramp."""
MAX_CONCURRENCY: Final = 1_000_000
MAX_CHAIN: Final = 8
"""Budgets that one job draws from: its own, those it inherits, its tenant's, and their parents."""
MAX_CATEGORIES: Final = 32
"""Categories in one usage, and weights or caps by category in one limit or budget."""
MAX_WEIGHT: Final = 1_000_000
"""A weight per mille: a thousand times a token, or a thousand times a tenant's share."""
MAX_OPEN_CALLS: Final = 256
"""Calls that one run has open, or waiting, at once."""
PLACE_KEPT_MS: Final = 60_000
"""How long a call keeps its place in line after it last asked."""
MAX_REFUSED: Final = 64
"""Candidates that one claim may look at and not give."""
MAX_BYPASSED: Final = 16
"""Those among them that it may look at behind the head of one parked pool."""
DEFAULT_BURST_MS: Final = 30_000
DEFAULT_MAX_DEFERRAL_MS: Final = 3_600_000
"""How long a job may be given back by rate limits alone before it is dead."""
RESERVATION_KEPT_MS: Final = 24 * 3_600_000
"""How long a closed reservation is kept, for a late report that corrects it; and what is at rest: parts of limits, past
windows of budgets, lines without jobs."""

MIN_LEASE_MS: Final = 10
MAX_LEASE_MS: Final = 24 * 3_600_000
MAX_DELAY_MS: Final = 366 * 24 * 3_600_000
MAX_INSTANT_MS: Final = 2**52
MAX_ATTEMPTS: Final = 1_000
DEFAULT_LEASE_MS: Final = 30_000
DEFAULT_ATTEMPTS: Final = 3
DEFAULT_STALLS: Final = 3
"""Lease expiries before a job is dead, so that a job that kills its workers cannot burn every attempt."""
CANCEL_GRACE_MS: Final = 30_000
"""How long a running job may take to heed a cancel before a sweep ends it."""
MIN_EVERY_MS: Final = 1_000
"""The interval of a schedule, at least: what is more frequent is a loop inside a job."""
MAX_SLOT_MS: Final = 221_845_392_000_000
"""The last instant of any schedule, the year 9000: behind it calendars end."""
MAX_CATCH_UP: Final = 100
"""Slots of a schedule that one fire makes up for."""
MAX_SLOTS: Final = 1_000
"""Slots that are looked at in one go after an outage; those behind them are next."""
MISSED_AFTER_MS: Final = 60_000
"""From when on a slot counts as missed, if the next one has not come before."""
CLAIM_KEPT_MS: Final = 24 * 3_600_000
"""How long a worker's last claim is kept, for the worker that did not hear the answer."""
WORKER_GONE_MS: Final = 30_000
"""How long a worker may be silent before it counts as gone: two of its beats may be lost."""
WORKER_KEPT_MS: Final = 24 * 3_600_000
"""How long a worker that has gone silent is still shown."""
