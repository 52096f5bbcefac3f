-- Admission: what a job may need before it runs, what there is of it, and in what order jobs get it.
--
-- What a statement looks at has a column; whatever else belongs to a row is one JSON text, which rules/ reads whole.
-- Nothing that was there changes its meaning, so that the release before goes on until its processes are replaced.

-- `gated` says that a job takes part in admission: it has terms or a tenant, and no claim gives it unlooked at.
ALTER TABLE aiq_jobs ADD COLUMN gated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN max_deferral_ms INTEGER NOT NULL DEFAULT 3600000;
ALTER TABLE aiq_jobs ADD COLUMN deferred_at_ms INTEGER;
ALTER TABLE aiq_jobs ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN opened_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN route INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN closed_routes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN held TEXT;
ALTER TABLE aiq_jobs ADD COLUMN held_by TEXT NOT NULL DEFAULT '';
-- A ready job that stands in no lane, but behind the gate of a limit by key.
ALTER TABLE aiq_jobs ADD COLUMN aside INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN aside_limit TEXT;
ALTER TABLE aiq_jobs ADD COLUMN aside_key TEXT;
-- The tenant whose line a job stands in. One of the release before has a tenant, and stands with those that have none.
ALTER TABLE aiq_jobs ADD COLUMN line TEXT NOT NULL GENERATED ALWAYS AS (CASE WHEN gated THEN tenant ELSE '' END) VIRTUAL;
-- Until when a ready job has patience with its route.
ALTER TABLE aiq_jobs ADD COLUMN patience_end_ms INTEGER;

-- Whether a job has nothing to do with any of this, so that whoever reads it need not look.
ALTER TABLE aiq_jobs ADD COLUMN plain INTEGER NOT NULL GENERATED ALWAYS AS (
    NOT gated AND deferred_at_ms IS NULL AND NOT resumes AND NOT opened_calls AND held IS NULL
) VIRTUAL;

-- The lanes of a line lie side by side, and those of a pool: what stands in one pool costs another nothing.
DROP INDEX aiq_jobs_ready;
CREATE INDEX aiq_jobs_ready ON aiq_jobs (queue, pool, aside, band, line, lane, position) WHERE state = 'ready';
CREATE INDEX aiq_jobs_gated ON aiq_jobs (queue) WHERE state = 'ready' AND gated = 1;
CREATE INDEX aiq_jobs_aside ON aiq_jobs (queue, pool, band, line, aside_limit, aside_key, lane, position)
    WHERE aside = 1;
CREATE INDEX aiq_jobs_patience ON aiq_jobs (patience_end_ms, id) WHERE state = 'ready' AND patience_end_ms IS NOT NULL;
CREATE INDEX aiq_jobs_patience_of ON aiq_jobs (queue, pool, patience_end_ms)
    WHERE state = 'ready' AND patience_end_ms IS NOT NULL;

-- What a gated job brings along, apart as aiq_specs is: limits, routes, estimate, budgets.
CREATE TABLE aiq_terms (
    n INTEGER PRIMARY KEY,
    terms TEXT NOT NULL
);

-- The release before knew limits and routes by their names alone, and all routes of a job had its limits.
INSERT INTO aiq_terms (n, terms)
SELECT n, json_object(
    'limits', json(CASE WHEN routes = '[]' THEN limits ELSE '[]' END),
    'routes', (SELECT json_group_array(json_object('name', value, 'limits', json(limits))) FROM json_each(routes))
)
FROM aiq_specs
WHERE limits <> '[]' OR routes <> '[]';

-- `credits` is NULL for none, and `settings` for no bound; `fresh` counts where the settings bound what is ready.
ALTER TABLE aiq_queues ADD COLUMN settings TEXT;
ALTER TABLE aiq_queues ADD COLUMN credits TEXT;
ALTER TABLE aiq_queues ADD COLUMN fresh INTEGER NOT NULL DEFAULT 0;

CREATE TABLE aiq_limits (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL
) WITHOUT ROWID;

-- `part` is the tenant or key whose share it is, '' for a limit without `by`.
CREATE TABLE aiq_limit_states (
    name TEXT NOT NULL,
    part TEXT NOT NULL,
    state TEXT NOT NULL,
    touched_at_ms INTEGER NOT NULL,
    PRIMARY KEY (name, part)
) WITHOUT ROWID;

-- Here and below: what may be forgotten, by the instant at which it last changed.
CREATE INDEX aiq_limit_states_idle ON aiq_limit_states (touched_at_ms, name, part) WHERE part <> '';

-- Calls of running jobs that stand in line, and the limits for which they do.
CREATE TABLE aiq_waiting (
    number INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    call INTEGER NOT NULL,
    asked_at_ms INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (job_id, fence, call)
);

CREATE TABLE aiq_waiting_for (
    name TEXT NOT NULL,
    part TEXT NOT NULL,
    band INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (name, part, band, number)
) WITHOUT ROWID;

CREATE INDEX aiq_waiting_for_number ON aiq_waiting_for (number);

CREATE TABLE aiq_budgets (
    id TEXT PRIMARY KEY,
    parent TEXT,
    spec TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX aiq_budgets_parent ON aiq_budgets (parent) WHERE parent IS NOT NULL;

CREATE TABLE aiq_budget_states (
    budget TEXT NOT NULL,
    window_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    touched_at_ms INTEGER NOT NULL,
    PRIMARY KEY (budget, window_ms)
) WITHOUT ROWID;

CREATE INDEX aiq_budget_states_idle ON aiq_budget_states (touched_at_ms, budget, window_ms) WHERE window_ms > 0;

-- `window_ms` is that of the budget's state in which the grant counts.
CREATE TABLE aiq_grants (
    budget TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    window_ms INTEGER NOT NULL,
    PRIMARY KEY (budget, grant_id)
) WITHOUT ROWID;

CREATE INDEX aiq_grants_window ON aiq_grants (budget, window_ms, grant_id) WHERE window_ms > 0;

CREATE TABLE aiq_prices (
    model TEXT NOT NULL,
    category TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    usd_micros_per_million INTEGER NOT NULL,
    PRIMARY KEY (model, category, from_ms)
) WITHOUT ROWID;

CREATE TABLE aiq_learned (
    task TEXT NOT NULL,
    model TEXT NOT NULL,
    learned TEXT NOT NULL,
    PRIMARY KEY (task, model)
) WITHOUT ROWID;

-- Calls by run and number. Those that are closed are kept for a late report.
CREATE TABLE aiq_reservations (
    job_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    call INTEGER NOT NULL,
    opened_at_ms INTEGER NOT NULL,
    closed_at_ms INTEGER,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, fence, call)
) WITHOUT ROWID;

CREATE INDEX aiq_reservations_closed ON aiq_reservations (closed_at_ms) WHERE closed_at_ms IS NOT NULL;

-- Added up as it comes in, for each whom a report may be asked about: a 'job', 'flow' or 'tenant', or 'all'.
CREATE TABLE aiq_usage (
    scope TEXT NOT NULL,
    owner TEXT NOT NULL,
    minute_ms INTEGER NOT NULL,
    model TEXT NOT NULL,
    category TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    usd_micros INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (scope, owner, minute_ms, model, category)
) WITHOUT ROWID;

CREATE TABLE aiq_tenants (
    tenant TEXT PRIMARY KEY,
    weight INTEGER NOT NULL
) WITHOUT ROWID;

-- The pools of a queue. `jobs` counts those in lanes; `body` has them by band. Of the plain pool a row is there only
-- while it is parked or has credit, and it counts nothing: its lanes are looked at.
CREATE TABLE aiq_pools (
    queue TEXT NOT NULL,
    name TEXT NOT NULL,
    wake_at_ms INTEGER NOT NULL DEFAULT 0,
    parked_by TEXT NOT NULL DEFAULT '',
    jobs INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL,
    touched_at_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, name)
) WITHOUT ROWID;

CREATE INDEX aiq_pools_parked ON aiq_pools (parked_by, queue, name) WHERE wake_at_ms > 0;
CREATE INDEX aiq_pools_wakes ON aiq_pools (wake_at_ms) WHERE wake_at_ms > 0;
CREATE INDEX aiq_pools_due ON aiq_pools (queue, wake_at_ms) WHERE wake_at_ms > 0;
CREATE INDEX aiq_pools_idle ON aiq_pools (touched_at_ms, queue, name) WHERE jobs = 0 AND name <> '';

-- One tenant's jobs in a band of a pool; `jobs` counts those in lanes.
CREATE TABLE aiq_lines (
    queue TEXT NOT NULL,
    pool TEXT NOT NULL,
    band INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    digest TEXT NOT NULL,
    service INTEGER NOT NULL,
    jobs INTEGER NOT NULL,
    wake_at_ms INTEGER NOT NULL DEFAULT 0,
    parked_by TEXT NOT NULL DEFAULT '',
    touched_at_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, pool, band, tenant)
) WITHOUT ROWID;

-- Whose turn it is; and the same with those that stand aside, by whose service a new line is lifted.
CREATE INDEX aiq_lines_open ON aiq_lines (queue, pool, band, service, digest) WHERE jobs > 0 AND wake_at_ms = 0;
CREATE INDEX aiq_lines_busy ON aiq_lines (queue, pool, band, service) WHERE jobs > 0;
CREATE INDEX aiq_lines_parked ON aiq_lines (parked_by, tenant) WHERE wake_at_ms > 0;
CREATE INDEX aiq_lines_wakes ON aiq_lines (wake_at_ms) WHERE wake_at_ms > 0;
CREATE INDEX aiq_lines_due ON aiq_lines (queue, wake_at_ms) WHERE wake_at_ms > 0;
CREATE INDEX aiq_lines_idle ON aiq_lines (touched_at_ms, queue, pool, band, tenant) WHERE jobs = 0 AND pool <> '';

-- Where jobs of one line stand aside that one limit by key refuses: through a gate that opens goes its first.
CREATE TABLE aiq_gates (
    queue TEXT NOT NULL,
    pool TEXT NOT NULL,
    band INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    part TEXT NOT NULL,
    wake_at_ms INTEGER NOT NULL,
    PRIMARY KEY (queue, pool, band, tenant, name, part)
) WITHOUT ROWID;

CREATE INDEX aiq_gates_shut ON aiq_gates (name, part);
CREATE INDEX aiq_gates_wakes ON aiq_gates (wake_at_ms);
CREATE INDEX aiq_gates_due ON aiq_gates (queue, wake_at_ms);

-- Jobs that are held, in the order in which they were; `line` is 'budget' for approvals too. `need` is what a budget
-- refused.
CREATE TABLE aiq_holds (
    number INTEGER PRIMARY KEY,
    n INTEGER NOT NULL UNIQUE,
    line TEXT NOT NULL,
    held_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    need TEXT NOT NULL
);

CREATE INDEX aiq_holds_by ON aiq_holds (line, held_by, number);

-- When the jobs that are held on a budget with windows are looked at again: at the end of the one in which they were.
CREATE TABLE aiq_renewals (
    budget TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX aiq_renewals_at ON aiq_renewals (at_ms);

-- Lines of held jobs of which a step has let as many go as one may, with what that left of their budget.
CREATE TABLE aiq_letting_go (
    line TEXT NOT NULL,
    held_by TEXT NOT NULL,
    room TEXT NOT NULL,
    PRIMARY KEY (line, held_by)
) WITHOUT ROWID;

-- What is told to other processes under a number of aiq_counters, beside events and chunks. Old ones are dropped.
CREATE TABLE aiq_news (
    change INTEGER PRIMARY KEY,
    topic TEXT NOT NULL
);

-- A limit that is known by its name alone bounds nothing until somebody puts it.
INSERT INTO aiq_limits (name, spec)
SELECT DISTINCT named.value, json_object('name', named.value)
FROM aiq_specs AS s
CROSS JOIN json_each(s.limits) AS named
WHERE s.limits <> '[]';

UPDATE aiq_jobs SET gated = 1 WHERE tenant <> '' OR n IN (SELECT n FROM aiq_terms);
UPDATE aiq_jobs SET pool = CASE WHEN pool <> '' THEN (
    SELECT group_concat(name, ',') || '|'
    FROM (
        SELECT DISTINCT named.value AS name FROM aiq_specs AS s CROSS JOIN json_each(s.limits) AS named
        WHERE s.n = aiq_jobs.n
        ORDER BY name
    )
) WHEN tenant <> '' THEN '~' ELSE '' END
WHERE gated = 1;

INSERT INTO aiq_lines (queue, pool, band, tenant, digest, service, jobs)
SELECT queue, pool, band, tenant, sha256_hex(tenant), 0, count(*)
FROM aiq_jobs
WHERE state = 'ready' AND pool <> ''
GROUP BY queue, pool, band, tenant;

INSERT INTO aiq_pools (queue, name, jobs, body)
SELECT queue, pool, sum(jobs), json_array(json_object('queue', queue, 'name', pool), json_array(
    sum(CASE band WHEN 0 THEN jobs ELSE 0 END), sum(CASE band WHEN 1 THEN jobs ELSE 0 END),
    sum(CASE band WHEN 2 THEN jobs ELSE 0 END), sum(CASE band WHEN 3 THEN jobs ELSE 0 END)
))
FROM aiq_lines
GROUP BY queue, pool;
