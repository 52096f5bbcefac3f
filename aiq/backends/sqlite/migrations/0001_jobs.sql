-- The first schema: jobs, what belongs to them, and what the storage keeps for itself.
--
-- Rows of the other tables name a job by its `n`, the order in which it was enqueued: shorter than its id, and
-- it keeps what belongs together side by side. Instants are milliseconds since 1970.

CREATE TABLE aiq_migrations (
    number INTEGER PRIMARY KEY,
    applied_at_ms INTEGER NOT NULL
);

-- One row a storage. `changes` numbers events and chunks alike, so that another process sees what is new;
-- a number without a row means that something else became worth a look.
CREATE TABLE aiq_counters (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    jobs INTEGER NOT NULL,
    positions INTEGER NOT NULL,
    changes INTEGER NOT NULL
);

INSERT INTO aiq_counters (one, jobs, positions, changes) VALUES (1, 0, 0, 0);

-- The hot row: what a decision looks at, and nothing that is long. `pool` is the sorted limits, so that the
-- lanes of (queue, pool, band, tenant) need one more index and nothing else.
CREATE TABLE aiq_jobs (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    -- No list of more than two, here and in all tables: of one SQLite makes a table, anew for each row that it checks.
    -- The most frequent come first.
    state TEXT NOT NULL CHECK (
        state = 'ready' OR state = 'running' OR state = 'succeeded' OR state = 'scheduled' OR state = 'waiting'
        OR state = 'suspended' OR state = 'held' OR state = 'dead' OR state = 'cancelled'
    ),
    queue TEXT NOT NULL,
    band INTEGER NOT NULL CHECK (band BETWEEN 0 AND 3),
    pool TEXT NOT NULL,
    tenant TEXT NOT NULL,
    lane INTEGER NOT NULL CHECK (lane IN (0, 1)),
    position INTEGER NOT NULL,
    due_ms INTEGER,
    fence INTEGER NOT NULL DEFAULT 0,
    lease_id TEXT,
    owner TEXT,
    expires_at_ms INTEGER,
    cancel_requested_at_ms INTEGER,
    generation INTEGER NOT NULL DEFAULT 1,
    failures INTEGER NOT NULL DEFAULT 0,
    stalls INTEGER NOT NULL DEFAULT 0,
    cause TEXT,
    late INTEGER NOT NULL DEFAULT 0,
    wait_key TEXT,
    wait_signal TEXT,
    task TEXT NOT NULL,
    lease_ms INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    max_stalls INTEGER NOT NULL,
    delay_ms INTEGER NOT NULL,
    at_ms INTEGER,
    deadline_ms INTEGER,
    flow TEXT,
    parent_id TEXT,
    on_upstream TEXT NOT NULL CHECK (on_upstream IN ('fail', 'continue')),
    order_key TEXT,
    unique_key TEXT,
    -- Whether somebody waits for this job, and whether it has children: most do neither, and then no step looks.
    dependents INTEGER NOT NULL DEFAULT 0,
    children INTEGER NOT NULL DEFAULT 0,
    steps INTEGER NOT NULL DEFAULT 0,
    kept_signals INTEGER NOT NULL DEFAULT 0,
    chunks INTEGER NOT NULL DEFAULT 0,
    stream_bytes INTEGER NOT NULL DEFAULT 0,
    run_seq INTEGER NOT NULL DEFAULT 0,
    progress_number INTEGER,
    errors INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0,
    -- The last settlement that took effect, and what it was answered.
    settled_id TEXT,
    settled_state TEXT,
    settled_late INTEGER,
    settled_step TEXT,
    created_at_ms INTEGER NOT NULL,
    started_at_ms INTEGER,
    finished_at_ms INTEGER
);

CREATE INDEX aiq_jobs_ready ON aiq_jobs (queue, band, lane, position) WHERE state = 'ready';
CREATE INDEX aiq_jobs_due ON aiq_jobs (due_ms, id) WHERE state = 'scheduled';
CREATE INDEX aiq_jobs_timeouts ON aiq_jobs (due_ms, id) WHERE state = 'suspended' AND due_ms IS NOT NULL;
CREATE INDEX aiq_jobs_leases ON aiq_jobs (expires_at_ms, id) WHERE state = 'running';
CREATE INDEX aiq_jobs_cancelling ON aiq_jobs (cancel_requested_at_ms, id)
    WHERE state = 'running' AND cancel_requested_at_ms IS NOT NULL;
CREATE INDEX aiq_jobs_children ON aiq_jobs (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX aiq_jobs_flows ON aiq_jobs (flow) WHERE flow IS NOT NULL;
CREATE INDEX aiq_jobs_tenants ON aiq_jobs (tenant) WHERE tenant <> '';

-- What never changes and no decision looks at: apart, so that a change of state does not write it again.
CREATE TABLE aiq_specs (
    n INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    payload BLOB NOT NULL,
    timeout_ms INTEGER,
    child_of TEXT,
    -- These three are JSON lists of names.
    depends_on TEXT NOT NULL,
    limits TEXT NOT NULL,
    routes TEXT NOT NULL,
    estimate BLOB,
    budget BLOB
);

CREATE TABLE aiq_results (
    n INTEGER PRIMARY KEY,
    result BLOB NOT NULL
);

CREATE TABLE aiq_errors (
    n INTEGER NOT NULL,
    number INTEGER NOT NULL,
    type TEXT NOT NULL,
    message TEXT NOT NULL,
    traceback TEXT NOT NULL,
    cause TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (n, number)
);

-- An edge leads from a job to one that waits for it; `wait_key` is '' for a dependency before the first run.
-- `ended` is its place in the order in which the jobs of the wait ended, and 0 until then.
CREATE TABLE aiq_edges (
    dependent INTEGER NOT NULL,
    wait_key TEXT NOT NULL,
    upstream INTEGER NOT NULL,
    dependent_id TEXT NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (dependent, wait_key, upstream)
) WITHOUT ROWID;

CREATE INDEX aiq_edges_open ON aiq_edges (upstream, dependent_id, wait_key) WHERE ended = 0;

CREATE TABLE aiq_waits (
    n INTEGER NOT NULL,
    wait_key TEXT NOT NULL,
    total INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    need INTEGER,
    rest TEXT NOT NULL DEFAULT 'cancel' CHECK (rest IN ('cancel', 'leave')),
    first_failed TEXT,
    PRIMARY KEY (n, wait_key)
) WITHOUT ROWID;

CREATE TABLE aiq_steps (
    n INTEGER NOT NULL,
    step_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    value BLOB NOT NULL,
    digest TEXT NOT NULL,
    fence INTEGER NOT NULL,
    PRIMARY KEY (n, step_key)
);

-- Each signal that was accepted. `kept` until a wait takes it; `bound` is the answer that its sender got.
CREATE TABLE aiq_signals (
    number INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    signal_id TEXT NOT NULL,
    name TEXT NOT NULL,
    payload BLOB NOT NULL,
    kept INTEGER NOT NULL,
    bound INTEGER NOT NULL,
    -- When a wait took it.
    over_ms INTEGER,
    UNIQUE (n, signal_id)
);

CREATE INDEX aiq_signals_kept ON aiq_signals (n, name, number) WHERE kept = 1;

-- The items of streams; `change` as in aiq_counters, `seq` is the writer's own number, NULL for what we wrote.
CREATE TABLE aiq_chunks (
    change INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data BLOB NOT NULL,
    fence INTEGER NOT NULL,
    seq INTEGER,
    step_key TEXT,
    at_ms INTEGER NOT NULL,
    UNIQUE (n, number)
);

-- Which numbers one run emitted within one step, so that no reset has to read the items.
CREATE TABLE aiq_ranges (
    n INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    step_key TEXT,
    void INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (n, first)
) WITHOUT ROWID;

CREATE TABLE aiq_events (
    change INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    transition TEXT NOT NULL,
    source TEXT,
    target TEXT NOT NULL,
    fence INTEGER NOT NULL,
    UNIQUE (n, number)
);

-- What follows from a step and did not fit into it.
CREATE TABLE aiq_outbox (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind = 'flip' OR kind = 'die' OR kind = 'cancel_rest' OR kind = 'cancel_children'),
    n INTEGER NOT NULL,
    wait_key TEXT NOT NULL
);

-- The last claim of each worker that gave something, for the worker that did not hear the answer.
CREATE TABLE aiq_claims (
    worker TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    lease_id TEXT NOT NULL,
    jobs TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);

CREATE TABLE aiq_queues (
    name TEXT PRIMARY KEY,
    paused INTEGER NOT NULL
);
