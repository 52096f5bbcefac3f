-- facts: what the file says of itself.
-- spec: FACT-1

-- name: schema
SELECT max(number) FROM aiq_migrations;

-- name: newest
-- When the newest event happened that is kept.
SELECT at_ms FROM aiq_events WHERE change = (SELECT max(change) FROM aiq_events);

-- name: journal
PRAGMA journal_mode;
