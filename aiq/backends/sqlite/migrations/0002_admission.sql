-- Admission: what a job may need before it runs, what there is of it, and in what order jobs get it.
--
-- What a statement looks at has a column; whatever else belongs to a row is one JSON text, which rules/ reads whole.
-- Nothing that was there changes its meaning, so that the release before goes on until its processes are replaced.

-- `gated` says that a job takes part in admission: it has terms or a tenant, and no claim may give it unlooked at.
ALTER TABLE aiq_jobs ADD COLUMN gated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN max_deferral_ms INTEGER NOT NULL DEFAULT 3600000;
ALTER TABLE aiq_jobs ADD COLUMN deferred_at_ms INTEGER;
ALTER TABLE aiq_jobs ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN opened_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN route INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN closed_routes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_jobs ADD COLUMN held TEXT;
ALTER TABLE aiq_jobs ADD COLUMN held_by TEXT NOT NULL DEFAULT '';

-- What a gated job brings along, apart as aiq_specs is: limits, routes, estimate, budgets.
CREATE TABLE aiq_terms (
    n INTEGER PRIMARY KEY,
    terms TEXT NOT NULL
);

INSERT INTO aiq_terms (n, terms)
SELECT n, json_object(
    'limits', json(limits),
    'routes', (SELECT json_group_array(json_object('name', value)) FROM json_each(routes))
)
FROM aiq_specs
WHERE limits <> '[]' OR routes <> '[]';

UPDATE aiq_jobs SET gated = 1 WHERE tenant <> '' OR n IN (SELECT n FROM aiq_terms);
