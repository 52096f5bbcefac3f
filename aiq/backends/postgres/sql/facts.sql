-- facts: what the server and the schema say of themselves.
-- spec: FACT-1

-- name: server
-- Its version, the schema, two settings, connections in use and at most, how long the oldest transaction of others has
-- been open, whether those of other users are seen, when the newest event happened that is kept, and the isolation that
-- a transaction has by default.
SELECT
    current_setting('server_version_num')::text, (SELECT max(number) FROM aiq_migrations),
    current_setting('synchronous_commit')::text, current_setting('fsync')::text,
    (SELECT sum(numbackends) FROM pg_stat_database)::bigint,
    current_setting('max_connections')::text,
    (
        SELECT (extract(epoch FROM clock_timestamp() - min(a.xact_start)) * 1000)::bigint
        FROM pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_xmin IS NOT NULL
    ),
    pg_has_role('pg_read_all_stats', 'USAGE'),
    (SELECT e.at_ms FROM aiq_events AS e WHERE e.change = (SELECT max(change) FROM aiq_events)),
    current_setting('default_transaction_isolation')::text;
