-- Jobs, what belongs to them, and what the storage keeps for itself.
--
-- Rows of the other tables name a job by its `n`, the order in which it was enqueued. Instants are milliseconds since
-- 1970. Texts are ordered by their bytes (COLLATE "C"), as Python orders them, whatever the database is made with.
-- What a statement looks at has a column; whatever else belongs to a row is one JSON text, which the steps read whole.
-- The same tables as in a SQLite file, where migrations/ tells what each is for; but that of the jobs is two here.

CREATE TABLE aiq_migrations (
    number INTEGER PRIMARY KEY,
    applied_at_ms BIGINT NOT NULL
);

CREATE TABLE aiq_counters (
    one SMALLINT PRIMARY KEY CHECK (one = 1),
    jobs BIGINT NOT NULL,
    positions BIGINT NOT NULL,
    changes BIGINT NOT NULL,
    events BIGINT NOT NULL DEFAULT 0,
    trimmed BIGINT NOT NULL DEFAULT 0,
    storage_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    lifo BIGINT NOT NULL DEFAULT 0
);

-- Each row is written three times and more, so it is kept short: what is never NULL comes first, the widest before the
-- others, since between columns of several widths there would be gaps; and what has a bound is as wide as that.
CREATE TABLE aiq_jobs (
    n BIGINT NOT NULL,
    position BIGINT NOT NULL,
    fence BIGINT NOT NULL DEFAULT 0,
    delay_ms BIGINT NOT NULL,
    chunks BIGINT NOT NULL DEFAULT 0,
    run_seq BIGINT NOT NULL DEFAULT 0,
    created_at_ms BIGINT NOT NULL,
    max_deferral_ms BIGINT NOT NULL DEFAULT 3600000,
    since_ms BIGINT NOT NULL DEFAULT 0,
    generation INTEGER NOT NULL DEFAULT 1,
    lease_ms INTEGER NOT NULL,
    steps INTEGER NOT NULL DEFAULT 0,
    kept_signals INTEGER NOT NULL DEFAULT 0,
    stream_bytes INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0,
    route INTEGER NOT NULL DEFAULT 0,
    closed_routes INTEGER NOT NULL DEFAULT 0,
    band SMALLINT NOT NULL CHECK (band BETWEEN 0 AND 3),
    lane SMALLINT NOT NULL CHECK (lane IN (0, 1)),
    failures SMALLINT NOT NULL DEFAULT 0,
    stalls SMALLINT NOT NULL DEFAULT 0,
    late SMALLINT NOT NULL DEFAULT 0,
    max_attempts SMALLINT NOT NULL,
    max_stalls SMALLINT NOT NULL,
    -- Whether somebody waits for this job, and whether it has children: most do neither, and then no step looks.
    dependents SMALLINT NOT NULL DEFAULT 0,
    children SMALLINT NOT NULL DEFAULT 0,
    gated SMALLINT NOT NULL DEFAULT 0,
    resumes SMALLINT NOT NULL DEFAULT 0,
    opened_calls SMALLINT NOT NULL DEFAULT 0,
    aside SMALLINT NOT NULL DEFAULT 0,
    plain SMALLINT NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN gated = 0 AND deferred_at_ms IS NULL AND resumes = 0 AND opened_calls = 0 AND held IS NULL THEN 1
            ELSE 0
        END
    ) STORED,
    id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    queue TEXT COLLATE "C" NOT NULL,
    pool TEXT COLLATE "C" NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    task TEXT COLLATE "C" NOT NULL,
    on_upstream TEXT COLLATE "C" NOT NULL CHECK (on_upstream IN ('fail', 'continue')),
    held_by TEXT COLLATE "C" NOT NULL DEFAULT '',
    line TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS (CASE WHEN gated = 1 THEN tenant ELSE '' END) STORED,
    due_ms BIGINT,
    lease_id TEXT COLLATE "C",
    owner TEXT COLLATE "C",
    expires_at_ms BIGINT,
    cancel_requested_at_ms BIGINT,
    cause TEXT COLLATE "C",
    wait_key TEXT COLLATE "C",
    wait_signal TEXT COLLATE "C",
    at_ms BIGINT,
    deadline_ms BIGINT,
    flow TEXT COLLATE "C",
    parent_id TEXT COLLATE "C",
    order_key TEXT COLLATE "C",
    unique_key TEXT COLLATE "C",
    progress_number BIGINT,
    -- The last settlement that took effect, and what it was answered.
    settled_id TEXT COLLATE "C",
    settled_state TEXT COLLATE "C",
    settled_late SMALLINT,
    settled_step TEXT COLLATE "C",
    started_at_ms BIGINT,
    finished_at_ms BIGINT,
    deferred_at_ms BIGINT,
    held TEXT COLLATE "C",
    aside_limit TEXT COLLATE "C",
    aside_key TEXT COLLATE "C",
    patience_end_ms BIGINT,
    keep_ms BIGINT,
    put_off_ms BIGINT,
    go_ms BIGINT GENERATED ALWAYS AS (
        CASE WHEN finished_at_ms IS NOT NULL THEN coalesce(put_off_ms, finished_at_ms + keep_ms) END
    ) STORED
) PARTITION BY LIST (state);

-- Whoever looks for work looks among jobs that can still move, however many have ended beside them. The server takes a
-- row over as its state changes: when the job ends, and back when it is redriven. No index sees both tables, so it is the
-- lock of those who write that lets a number or an id stand in one alone.
CREATE TABLE aiq_live PARTITION OF aiq_jobs (PRIMARY KEY (n), UNIQUE (id))
    FOR VALUES IN ('scheduled', 'ready', 'running', 'waiting', 'suspended', 'held');

CREATE TABLE aiq_ended PARTITION OF aiq_jobs (PRIMARY KEY (n), UNIQUE (id))
    FOR VALUES IN ('succeeded', 'dead', 'cancelled');

CREATE TABLE aiq_specs (
    n BIGINT PRIMARY KEY,
    digest TEXT COLLATE "C" NOT NULL,
    payload BYTEA NOT NULL,
    timeout_ms BIGINT,
    child_of TEXT COLLATE "C",
    -- These three are JSON lists of names.
    depends_on TEXT COLLATE "C" NOT NULL,
    limits TEXT COLLATE "C" NOT NULL,
    routes TEXT COLLATE "C" NOT NULL,
    estimate BYTEA,
    budget BYTEA,
    on_parent TEXT COLLATE "C" NOT NULL DEFAULT 'cancel',
    origin TEXT COLLATE "C",
    root BIGINT,
    depth BIGINT
);

CREATE TABLE aiq_results (
    n BIGINT PRIMARY KEY,
    result BYTEA NOT NULL
);

CREATE TABLE aiq_errors (
    n BIGINT NOT NULL,
    number BIGINT NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    traceback TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL DEFAULT '',
    code TEXT COLLATE "C" NOT NULL DEFAULT '',
    place TEXT COLLATE "C" NOT NULL DEFAULT '',
    pattern TEXT COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (n, number)
);

CREATE TABLE aiq_edges (
    dependent BIGINT NOT NULL,
    wait_key TEXT COLLATE "C" NOT NULL,
    upstream BIGINT NOT NULL,
    dependent_id TEXT COLLATE "C" NOT NULL,
    ended BIGINT NOT NULL DEFAULT 0,
    succeeded BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (dependent, wait_key, upstream)
);

CREATE TABLE aiq_waits (
    n BIGINT NOT NULL,
    wait_key TEXT COLLATE "C" NOT NULL,
    total BIGINT NOT NULL DEFAULT 0,
    succeeded BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    need BIGINT,
    rest TEXT COLLATE "C" NOT NULL DEFAULT 'cancel' CHECK (rest IN ('cancel', 'leave')),
    first_failed TEXT COLLATE "C",
    PRIMARY KEY (n, wait_key)
);

CREATE TABLE aiq_steps (
    n BIGINT NOT NULL,
    step_key TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    value BYTEA NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    fence BIGINT NOT NULL,
    PRIMARY KEY (n, step_key)
);

CREATE TABLE aiq_signals (
    number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    n BIGINT NOT NULL,
    signal_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    payload BYTEA NOT NULL,
    kept SMALLINT NOT NULL,
    bound SMALLINT NOT NULL,
    -- When a wait took it.
    over_ms BIGINT,
    UNIQUE (n, signal_id)
);

CREATE TABLE aiq_chunks (
    change BIGINT PRIMARY KEY,
    n BIGINT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    data BYTEA NOT NULL,
    fence BIGINT NOT NULL,
    seq BIGINT,
    step_key TEXT COLLATE "C",
    at_ms BIGINT NOT NULL,
    UNIQUE (n, number)
);

CREATE TABLE aiq_ranges (
    n BIGINT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    step_key TEXT COLLATE "C",
    void SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (n, first)
);

CREATE TABLE aiq_events (
    change BIGINT PRIMARY KEY,
    n BIGINT NOT NULL,
    number BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    transition TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C",
    target TEXT COLLATE "C" NOT NULL,
    fence BIGINT NOT NULL, cause TEXT COLLATE "C",
    UNIQUE (n, number)
);

CREATE TABLE aiq_claims (
    worker TEXT COLLATE "C" PRIMARY KEY,
    number BIGINT NOT NULL,
    lease_id TEXT COLLATE "C" NOT NULL,
    jobs TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL
);

CREATE TABLE aiq_queues (
    name TEXT COLLATE "C" PRIMARY KEY,
    paused SMALLINT NOT NULL,
    settings TEXT COLLATE "C",
    credits TEXT COLLATE "C",
    fresh BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE aiq_news (
    change BIGINT PRIMARY KEY,
    topic TEXT COLLATE "C" NOT NULL
);

CREATE TABLE aiq_outbox (
    number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('flip', 'die', 'cancel_rest', 'cancel_children', 'redrive')),
    n BIGINT NOT NULL,
    wait_key TEXT COLLATE "C" NOT NULL
);

CREATE INDEX aiq_live_due ON aiq_live (due_ms, id) WHERE state = 'scheduled';

CREATE INDEX aiq_live_timeouts ON aiq_live (due_ms, id) WHERE state = 'suspended' AND due_ms IS NOT NULL;

CREATE INDEX aiq_live_leases ON aiq_live (expires_at_ms, id) WHERE state = 'running';

CREATE INDEX aiq_live_cancelling ON aiq_live (cancel_requested_at_ms, id)
    WHERE state = 'running' AND cancel_requested_at_ms IS NOT NULL;

CREATE INDEX aiq_live_children ON aiq_live (parent_id, n) WHERE parent_id IS NOT NULL;

CREATE INDEX aiq_ended_children ON aiq_ended (parent_id, n) WHERE parent_id IS NOT NULL;

CREATE INDEX aiq_live_flows ON aiq_live (flow, n) WHERE flow IS NOT NULL;

CREATE INDEX aiq_ended_flows ON aiq_ended (flow, n) WHERE flow IS NOT NULL;

CREATE INDEX aiq_live_tenants ON aiq_live (tenant, n) WHERE tenant <> '';

CREATE INDEX aiq_ended_tenants ON aiq_ended (tenant, n) WHERE tenant <> '';

CREATE INDEX aiq_edges_open ON aiq_edges (upstream, dependent_id, wait_key) WHERE ended = 0;

CREATE INDEX aiq_signals_kept ON aiq_signals (n, name, number) WHERE kept = 1;

CREATE INDEX aiq_live_ready ON aiq_live (queue, pool, aside, band, line, lane, position) WHERE state = 'ready';

CREATE INDEX aiq_live_gated ON aiq_live (queue) WHERE state = 'ready' AND gated = 1;

CREATE INDEX aiq_live_aside ON aiq_live (queue, pool, band, line, aside_limit, aside_key, lane, position)
    WHERE aside = 1;

CREATE INDEX aiq_live_patience ON aiq_live (patience_end_ms, id) WHERE state = 'ready' AND patience_end_ms IS NOT NULL;

CREATE INDEX aiq_live_patience_of ON aiq_live (queue, pool, patience_end_ms)
    WHERE state = 'ready' AND patience_end_ms IS NOT NULL;

CREATE INDEX aiq_live_deadlines ON aiq_live (deadline_ms, id) WHERE deadline_ms IS NOT NULL AND cancel_requested_at_ms IS NULL;

CREATE INDEX aiq_ended_oldest ON aiq_ended (state, finished_at_ms, n) WHERE keep_ms IS NULL AND put_off_ms IS NULL;

CREATE INDEX aiq_ended_apart ON aiq_ended (go_ms, n, state) WHERE go_ms IS NOT NULL;

CREATE INDEX aiq_ended_streams ON aiq_ended (finished_at_ms, n) WHERE stream_bytes > 0;

CREATE INDEX aiq_ended_steps ON aiq_ended (finished_at_ms, n, steps) WHERE steps > 0;

CREATE INDEX aiq_ended_signals ON aiq_ended (finished_at_ms, n, kept_signals) WHERE kept_signals > 0;

CREATE INDEX aiq_signals_over ON aiq_signals (over_ms, n) WHERE over_ms IS NOT NULL;

CREATE INDEX aiq_edges_upstream ON aiq_edges (upstream);

CREATE INDEX aiq_outbox_job ON aiq_outbox (n);

INSERT INTO aiq_counters (one, jobs, positions, changes, storage_id)
VALUES (1, 0, 0, 0, left(replace(gen_random_uuid()::text, '-', ''), 16));

-- Rows that are written again and again: room for the next version beside the one before. Of these and of jobs that have
-- ended what is dead is cleared away after thousands of rows, not after a fifth of a table, which may be a million. What
-- goes with such jobs, as their results and events do, is left to the server's own settings: nobody looks for work there,
-- and each vacuum goes through all of a table's indexes.
ALTER TABLE aiq_live SET (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE aiq_ended SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE aiq_counters SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE aiq_claims SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
