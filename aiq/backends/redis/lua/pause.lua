-- pause: give out no job of a queue from now on. It touches none.
-- flags: allow-oom
-- args: queue
-- spec: CLAIM-7, STORE-4
rows.put('paused', args.queue, true)
