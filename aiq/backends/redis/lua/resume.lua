-- resume: give out jobs of a queue again, at once.
-- flags: allow-oom
-- args: queue
-- spec: STORE-4
rows.drop('paused', args.queue)
step.wake('queue:' .. args.queue)
