-- get_retention: read what is kept of what is over.
-- looks
-- flags: allow-oom,no-writes
-- returns: what was set (RetentionSpec, without what is as by default)
-- spec: KEEP-3
return rows.get('counters', 'retention') or {}
