-- The first schema: jobs, what belongs to them, and what the storage keeps for itself.
--
-- Rows of the other tables name a job by its `n`, the order in which it was enqueued. Instants are milliseconds since
-- 1970. Texts are ordered by their bytes (COLLATE "C"), as Python orders them, whatever the database is made with.
-- What a statement looks at has a column; whatever else belongs to a row is one JSON text, which the steps read whole.
-- The same tables as in a SQLite file, where migrations/ tells what each is for.

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

CREATE TABLE aiq_jobs (
    n BIGINT PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN (
        'scheduled', 'ready', 'running', 'waiting', 'suspended', 'held', 'succeeded', 'dead', 'cancelled'
    )),
    queue TEXT COLLATE "C" NOT NULL,
    band SMALLINT NOT NULL CHECK (band BETWEEN 0 AND 3),
    pool TEXT COLLATE "C" NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    lane SMALLINT NOT NULL CHECK (lane IN (0, 1)),
    position BIGINT NOT NULL,
    due_ms BIGINT,
    fence BIGINT NOT NULL DEFAULT 0,
    lease_id TEXT COLLATE "C",
    owner TEXT COLLATE "C",
    expires_at_ms BIGINT,
    cancel_requested_at_ms BIGINT,
    generation BIGINT NOT NULL DEFAULT 1,
    failures BIGINT NOT NULL DEFAULT 0,
    stalls BIGINT NOT NULL DEFAULT 0,
    cause TEXT COLLATE "C",
    late SMALLINT NOT NULL DEFAULT 0,
    wait_key TEXT COLLATE "C",
    wait_signal TEXT COLLATE "C",
    task TEXT COLLATE "C" NOT NULL,
    lease_ms BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    max_stalls BIGINT NOT NULL,
    delay_ms BIGINT NOT NULL,
    at_ms BIGINT,
    deadline_ms BIGINT,
    flow TEXT COLLATE "C",
    parent_id TEXT COLLATE "C",
    on_upstream TEXT COLLATE "C" NOT NULL CHECK (on_upstream IN ('fail', 'continue')),
    order_key TEXT COLLATE "C",
    unique_key TEXT COLLATE "C",
    -- Whether somebody waits for this job, and whether it has children: most do neither, and then no step looks.
    dependents BIGINT NOT NULL DEFAULT 0,
    children BIGINT NOT NULL DEFAULT 0,
    steps BIGINT NOT NULL DEFAULT 0,
    kept_signals BIGINT NOT NULL DEFAULT 0,
    chunks BIGINT NOT NULL DEFAULT 0,
    stream_bytes BIGINT NOT NULL DEFAULT 0,
    run_seq BIGINT NOT NULL DEFAULT 0,
    progress_number BIGINT,
    errors BIGINT NOT NULL DEFAULT 0,
    events BIGINT NOT NULL DEFAULT 0,
    -- The last settlement that took effect, and what it was answered.
    settled_id TEXT COLLATE "C",
    settled_state TEXT COLLATE "C",
    settled_late SMALLINT,
    settled_step TEXT COLLATE "C",
    created_at_ms BIGINT NOT NULL,
    started_at_ms BIGINT,
    finished_at_ms BIGINT,
    gated SMALLINT NOT NULL DEFAULT 0,
    max_deferral_ms BIGINT NOT NULL DEFAULT 3600000,
    deferred_at_ms BIGINT,
    resumes BIGINT NOT NULL DEFAULT 0,
    opened_calls BIGINT NOT NULL DEFAULT 0,
    route BIGINT NOT NULL DEFAULT 0,
    closed_routes BIGINT NOT NULL DEFAULT 0,
    held TEXT COLLATE "C",
    held_by TEXT COLLATE "C" NOT NULL DEFAULT '',
    aside SMALLINT NOT NULL DEFAULT 0,
    aside_limit TEXT COLLATE "C",
    aside_key TEXT COLLATE "C",
    line TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS (CASE WHEN gated = 1 THEN tenant ELSE '' END) STORED,
    patience_end_ms BIGINT,
    plain SMALLINT NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN gated = 0 AND deferred_at_ms IS NULL AND resumes = 0 AND opened_calls = 0 AND held IS NULL THEN 1
            ELSE 0
        END
    ) STORED,
    keep_ms BIGINT,
    put_off_ms BIGINT,
    since_ms BIGINT NOT NULL DEFAULT 0,
    go_ms BIGINT GENERATED ALWAYS AS (
        CASE WHEN finished_at_ms IS NOT NULL THEN coalesce(put_off_ms, finished_at_ms + keep_ms) END
    ) STORED
);

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

CREATE TABLE aiq_terms (
    n BIGINT PRIMARY KEY,
    terms TEXT COLLATE "C" NOT NULL
);

CREATE TABLE aiq_limits (
    name TEXT COLLATE "C" PRIMARY KEY,
    spec TEXT COLLATE "C" NOT NULL
);

CREATE TABLE aiq_limit_states (
    name TEXT COLLATE "C" NOT NULL,
    part TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    touched_at_ms BIGINT NOT NULL,
    PRIMARY KEY (name, part)
);

CREATE TABLE aiq_waiting (
    number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    job_id TEXT COLLATE "C" NOT NULL,
    fence BIGINT NOT NULL,
    call BIGINT NOT NULL,
    asked_at_ms BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    UNIQUE (job_id, fence, call)
);

CREATE TABLE aiq_waiting_for (
    name TEXT COLLATE "C" NOT NULL,
    part TEXT COLLATE "C" NOT NULL,
    band SMALLINT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (name, part, band, number)
);

CREATE TABLE aiq_budgets (
    id TEXT COLLATE "C" PRIMARY KEY,
    parent TEXT COLLATE "C",
    spec TEXT COLLATE "C" NOT NULL
);

CREATE TABLE aiq_budget_states (
    budget TEXT COLLATE "C" NOT NULL,
    window_ms BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    touched_at_ms BIGINT NOT NULL,
    PRIMARY KEY (budget, window_ms)
);

CREATE TABLE aiq_grants (
    budget TEXT COLLATE "C" NOT NULL,
    grant_id TEXT COLLATE "C" NOT NULL,
    window_ms BIGINT NOT NULL,
    PRIMARY KEY (budget, grant_id)
);

CREATE TABLE aiq_prices (
    model TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C" NOT NULL,
    from_ms BIGINT NOT NULL,
    usd_micros_per_million BIGINT NOT NULL,
    PRIMARY KEY (model, category, from_ms)
);

CREATE TABLE aiq_learned (
    task TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    learned TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (task, model)
);

CREATE TABLE aiq_reservations (
    job_id TEXT COLLATE "C" NOT NULL,
    fence BIGINT NOT NULL,
    call BIGINT NOT NULL,
    opened_at_ms BIGINT NOT NULL,
    closed_at_ms BIGINT,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job_id, fence, call)
);

CREATE TABLE aiq_usage (
    scope TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    minute_ms BIGINT NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C" NOT NULL,
    tokens BIGINT NOT NULL,
    usd_micros BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    PRIMARY KEY (scope, owner, minute_ms, model, category)
);

CREATE TABLE aiq_tenants (
    tenant TEXT COLLATE "C" PRIMARY KEY,
    weight BIGINT NOT NULL
);

CREATE TABLE aiq_pools (
    queue TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    wake_at_ms BIGINT NOT NULL DEFAULT 0,
    parked_by TEXT COLLATE "C" NOT NULL DEFAULT '',
    jobs BIGINT NOT NULL DEFAULT 0,
    body TEXT COLLATE "C" NOT NULL,
    touched_at_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, name)
);

CREATE TABLE aiq_lines (
    queue TEXT COLLATE "C" NOT NULL,
    pool TEXT COLLATE "C" NOT NULL,
    band SMALLINT NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    service BIGINT NOT NULL,
    jobs BIGINT NOT NULL,
    wake_at_ms BIGINT NOT NULL DEFAULT 0,
    parked_by TEXT COLLATE "C" NOT NULL DEFAULT '',
    touched_at_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, pool, band, tenant)
);

CREATE TABLE aiq_gates (
    queue TEXT COLLATE "C" NOT NULL,
    pool TEXT COLLATE "C" NOT NULL,
    band SMALLINT NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    part TEXT COLLATE "C" NOT NULL,
    wake_at_ms BIGINT NOT NULL,
    PRIMARY KEY (queue, pool, band, tenant, name, part)
);

CREATE TABLE aiq_holds (
    number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    n BIGINT NOT NULL UNIQUE,
    line TEXT COLLATE "C" NOT NULL,
    held_by TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    need TEXT COLLATE "C" NOT NULL
);

CREATE TABLE aiq_renewals (
    budget TEXT COLLATE "C" PRIMARY KEY,
    at_ms BIGINT NOT NULL
);

CREATE TABLE aiq_letting_go (
    line TEXT COLLATE "C" NOT NULL,
    held_by TEXT COLLATE "C" NOT NULL,
    room TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (line, held_by)
);

CREATE TABLE aiq_news (
    change BIGINT PRIMARY KEY,
    topic TEXT COLLATE "C" NOT NULL
);

CREATE TABLE aiq_unique (
    task TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL,
    how TEXT COLLATE "C" NOT NULL CHECK (how IN ('keep', 'replace', 'debounce')),
    last_id TEXT COLLATE "C" NOT NULL,
    last_digest TEXT COLLATE "C" NOT NULL,
    until_ms BIGINT,
    state TEXT COLLATE "C",
    PRIMARY KEY (task, key)
);

CREATE TABLE aiq_schedules (
    name TEXT COLLATE "C" PRIMARY KEY,
    spec TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    paused SMALLINT NOT NULL,
    phase TEXT COLLATE "C" NOT NULL CHECK (phase IN ('unplanned', 'planned', 'waiting', 'over')),
    next_ms BIGINT,
    passed_ms BIGINT NOT NULL,
    fires BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    last_job_id TEXT COLLATE "C",
    last_fired_ms BIGINT,
    error TEXT COLLATE "C" NOT NULL,
    due_ms BIGINT GENERATED ALWAYS AS (
        CASE WHEN paused = 1 THEN NULL WHEN phase = 'unplanned' THEN 0 WHEN phase = 'planned' THEN next_ms END
    ) STORED,
    awaited TEXT COLLATE "C" GENERATED ALWAYS AS (CASE WHEN phase = 'waiting' THEN last_job_id END) STORED
);

CREATE TABLE aiq_dead_groups (
    fingerprint TEXT COLLATE "C" PRIMARY KEY,
    task TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    place TEXT COLLATE "C" NOT NULL,
    pattern TEXT COLLATE "C" NOT NULL,
    first_seen_ms BIGINT NOT NULL,
    last_seen_ms BIGINT NOT NULL,
    dead BIGINT NOT NULL,
    died BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    usd_micros BIGINT NOT NULL,
    redriven BIGINT NOT NULL,
    recovered BIGINT NOT NULL,
    relapsed BIGINT NOT NULL,
    touched_at_ms BIGINT NOT NULL
);

CREATE TABLE aiq_deaths (
    n BIGINT PRIMARY KEY,
    fingerprint TEXT COLLATE "C" NOT NULL,
    died_at_ms BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    usd_micros BIGINT NOT NULL,
    sample TEXT COLLATE "C"
);

CREATE TABLE aiq_redriven (
    n BIGINT PRIMARY KEY,
    redrive_id TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C",
    tokens BIGINT NOT NULL,
    usd_micros BIGINT NOT NULL
);

CREATE TABLE aiq_outbox (
    number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('flip', 'die', 'cancel_rest', 'cancel_children', 'redrive')),
    n BIGINT NOT NULL,
    wait_key TEXT COLLATE "C" NOT NULL
);

CREATE TABLE aiq_tombstones (
    n BIGINT PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    digest TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    task TEXT COLLATE "C" NOT NULL,
    queue TEXT COLLATE "C" NOT NULL,
    until_ms BIGINT NOT NULL
);

CREATE TABLE aiq_remains (
    number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    n BIGINT NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL,
    parent_id TEXT COLLATE "C",
    flow TEXT COLLATE "C",
    due_ms BIGINT NOT NULL
);

CREATE TABLE aiq_retention (
    one SMALLINT PRIMARY KEY CHECK (one = 1),
    spec TEXT COLLATE "C" NOT NULL,
    -- The last of the jobs that have succeeded at whose results upkeep has looked.
    results_ms BIGINT NOT NULL DEFAULT -1,
    results_n BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE aiq_minutes (
    minute_ms BIGINT NOT NULL,
    queue TEXT COLLATE "C" NOT NULL,
    task TEXT COLLATE "C" NOT NULL,
    enqueued BIGINT NOT NULL,
    started BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    retried BIGINT NOT NULL,
    dead BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    waited_ms BIGINT NOT NULL,
    waited_most_ms BIGINT NOT NULL,
    ran_ms BIGINT NOT NULL,
    ran_most_ms BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    usd_micros BIGINT NOT NULL,
    PRIMARY KEY (minute_ms, queue, task)
);

CREATE TABLE aiq_keyed (
    n BIGINT PRIMARY KEY,
    queue TEXT COLLATE "C" NOT NULL,
    order_key TEXT COLLATE "C" NOT NULL,
    stand SMALLINT NOT NULL CHECK (stand BETWEEN 0 AND 2),
    root BIGINT NOT NULL,
    depth BIGINT NOT NULL,
    turn BIGINT NOT NULL,
    per_key BIGINT NOT NULL,
    while_parked TEXT COLLATE "C" NOT NULL CHECK (while_parked IN ('hold', 'free'))
);

CREATE TABLE aiq_keys (
    queue TEXT COLLATE "C" NOT NULL,
    order_key TEXT COLLATE "C" NOT NULL,
    per_key BIGINT NOT NULL,
    places BIGINT NOT NULL,
    holders BIGINT NOT NULL,
    line BIGINT NOT NULL,
    paused SMALLINT NOT NULL,
    PRIMARY KEY (queue, order_key)
);

CREATE TABLE aiq_workers (
    name TEXT COLLATE "C" PRIMARY KEY,
    started_at_ms BIGINT NOT NULL,
    beat_at_ms BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL
);

CREATE TABLE aiq_moving (
    state TEXT COLLATE "C" PRIMARY KEY CHECK (state IN ('loading', 'moved', 'move', 'loaded')),
    told TEXT COLLATE "C" NOT NULL
);

-- Jobs that were left in transactions of their callers: `content` is a batch, which the steps read whole. One that
-- cannot be stored stays, with its `error`.
CREATE TABLE aiq_inbox (
    number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    content BYTEA NOT NULL,
    error TEXT COLLATE "C"
);

CREATE INDEX aiq_inbox_new ON aiq_inbox (number) WHERE error IS NULL;

CREATE INDEX aiq_jobs_due ON aiq_jobs (due_ms, id) WHERE state = 'scheduled';

CREATE INDEX aiq_jobs_timeouts ON aiq_jobs (due_ms, id) WHERE state = 'suspended' AND due_ms IS NOT NULL;

CREATE INDEX aiq_jobs_leases ON aiq_jobs (expires_at_ms, id) WHERE state = 'running';

CREATE INDEX aiq_jobs_cancelling ON aiq_jobs (cancel_requested_at_ms, id)
    WHERE state = 'running' AND cancel_requested_at_ms IS NOT NULL;

CREATE INDEX aiq_jobs_children ON aiq_jobs (parent_id, n) WHERE parent_id IS NOT NULL;

CREATE INDEX aiq_jobs_flows ON aiq_jobs (flow, n) WHERE flow IS NOT NULL;

CREATE INDEX aiq_jobs_tenants ON aiq_jobs (tenant, n) WHERE tenant <> '';

CREATE INDEX aiq_edges_open ON aiq_edges (upstream, dependent_id, wait_key) WHERE ended = 0;

CREATE INDEX aiq_signals_kept ON aiq_signals (n, name, number) WHERE kept = 1;

CREATE INDEX aiq_jobs_ready ON aiq_jobs (queue, pool, aside, band, line, lane, position) WHERE state = 'ready';

CREATE INDEX aiq_jobs_gated ON aiq_jobs (queue) WHERE state = 'ready' AND gated = 1;

CREATE INDEX aiq_jobs_aside ON aiq_jobs (queue, pool, band, line, aside_limit, aside_key, lane, position)
    WHERE aside = 1;

CREATE INDEX aiq_jobs_patience ON aiq_jobs (patience_end_ms, id) WHERE state = 'ready' AND patience_end_ms IS NOT NULL;

CREATE INDEX aiq_jobs_patience_of ON aiq_jobs (queue, pool, patience_end_ms)
    WHERE state = 'ready' AND patience_end_ms IS NOT NULL;

CREATE INDEX aiq_limit_states_idle ON aiq_limit_states (touched_at_ms, name, part) WHERE part <> '';

CREATE INDEX aiq_waiting_for_number ON aiq_waiting_for (number);

CREATE INDEX aiq_budgets_parent ON aiq_budgets (parent) WHERE parent IS NOT NULL;

CREATE INDEX aiq_budget_states_idle ON aiq_budget_states (touched_at_ms, budget, window_ms) WHERE window_ms > 0;

CREATE INDEX aiq_grants_window ON aiq_grants (budget, window_ms, grant_id) WHERE window_ms > 0;

CREATE INDEX aiq_reservations_closed ON aiq_reservations (closed_at_ms) WHERE closed_at_ms IS NOT NULL;

CREATE INDEX aiq_pools_parked ON aiq_pools (parked_by, queue, name) WHERE wake_at_ms > 0;

CREATE INDEX aiq_pools_wakes ON aiq_pools (wake_at_ms) WHERE wake_at_ms > 0;

CREATE INDEX aiq_pools_due ON aiq_pools (queue, wake_at_ms) WHERE wake_at_ms > 0;

CREATE INDEX aiq_pools_idle ON aiq_pools (touched_at_ms, queue, name) WHERE jobs = 0 AND name <> '';

CREATE INDEX aiq_lines_open ON aiq_lines (queue, pool, band, service, digest) WHERE jobs > 0 AND wake_at_ms = 0;

CREATE INDEX aiq_lines_busy ON aiq_lines (queue, pool, band, service) WHERE jobs > 0;

CREATE INDEX aiq_lines_parked ON aiq_lines (parked_by, tenant) WHERE wake_at_ms > 0;

CREATE INDEX aiq_lines_wakes ON aiq_lines (wake_at_ms) WHERE wake_at_ms > 0;

CREATE INDEX aiq_lines_due ON aiq_lines (queue, wake_at_ms) WHERE wake_at_ms > 0;

CREATE INDEX aiq_lines_idle ON aiq_lines (touched_at_ms, queue, pool, band, tenant) WHERE jobs = 0 AND pool <> '';

CREATE INDEX aiq_gates_shut ON aiq_gates (name, part);

CREATE INDEX aiq_gates_wakes ON aiq_gates (wake_at_ms);

CREATE INDEX aiq_gates_due ON aiq_gates (queue, wake_at_ms);

CREATE INDEX aiq_holds_by ON aiq_holds (line, held_by, number);

CREATE INDEX aiq_renewals_at ON aiq_renewals (at_ms);

CREATE INDEX aiq_unique_over ON aiq_unique (until_ms, task, key) WHERE until_ms IS NOT NULL;

CREATE INDEX aiq_jobs_deadlines ON aiq_jobs (deadline_ms, id)
    WHERE deadline_ms IS NOT NULL AND finished_at_ms IS NULL AND cancel_requested_at_ms IS NULL;

CREATE INDEX aiq_schedules_due ON aiq_schedules (due_ms, name) WHERE due_ms IS NOT NULL;

CREATE INDEX aiq_schedules_awaited ON aiq_schedules (awaited) WHERE awaited IS NOT NULL;

CREATE INDEX aiq_dead_groups_seen ON aiq_dead_groups (last_seen_ms DESC, fingerprint);

CREATE INDEX aiq_dead_groups_dead ON aiq_dead_groups (dead DESC, fingerprint);

CREATE INDEX aiq_dead_groups_empty ON aiq_dead_groups (touched_at_ms, fingerprint) WHERE dead = 0;

CREATE INDEX aiq_deaths_age ON aiq_deaths (fingerprint, died_at_ms);

CREATE INDEX aiq_deaths_number ON aiq_deaths (fingerprint, n);

CREATE INDEX aiq_deaths_samples ON aiq_deaths (fingerprint, n) WHERE sample IS NOT NULL;

CREATE INDEX aiq_jobs_ended ON aiq_jobs (state, finished_at_ms, n)
    WHERE finished_at_ms IS NOT NULL AND keep_ms IS NULL AND put_off_ms IS NULL;

CREATE INDEX aiq_jobs_apart ON aiq_jobs (go_ms, n, state) WHERE go_ms IS NOT NULL;

CREATE INDEX aiq_jobs_streams ON aiq_jobs (finished_at_ms, n) WHERE finished_at_ms IS NOT NULL AND stream_bytes > 0;

CREATE INDEX aiq_jobs_steps ON aiq_jobs (finished_at_ms, n, steps) WHERE finished_at_ms IS NOT NULL AND steps > 0;

CREATE INDEX aiq_jobs_signals ON aiq_jobs (finished_at_ms, n, kept_signals)
    WHERE finished_at_ms IS NOT NULL AND kept_signals > 0;

CREATE INDEX aiq_signals_over ON aiq_signals (over_ms, n) WHERE over_ms IS NOT NULL;

CREATE INDEX aiq_edges_upstream ON aiq_edges (upstream);

CREATE INDEX aiq_outbox_job ON aiq_outbox (n);

CREATE INDEX aiq_tombstones_until ON aiq_tombstones (until_ms, n);

CREATE INDEX aiq_remains_due ON aiq_remains (due_ms, number);

CREATE INDEX aiq_remains_job ON aiq_remains (job_id);

CREATE INDEX aiq_remains_parent ON aiq_remains (parent_id) WHERE parent_id IS NOT NULL;

CREATE INDEX aiq_remains_flow ON aiq_remains (flow) WHERE flow IS NOT NULL;

CREATE INDEX aiq_usage_minutes ON aiq_usage (minute_ms) WHERE scope IN ('all', 'tenant');

CREATE INDEX aiq_keyed_line ON aiq_keyed (queue, order_key, stand, root, depth DESC, turn) WHERE stand < 2;

CREATE INDEX aiq_workers_beats ON aiq_workers (beat_at_ms, name);

INSERT INTO aiq_counters (one, jobs, positions, changes, storage_id)
VALUES (1, 0, 0, 0, left(replace(gen_random_uuid()::text, '-', ''), 16));
