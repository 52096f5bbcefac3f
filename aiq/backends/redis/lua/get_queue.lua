-- get_queue: read what bounds a queue, and how it stands.
-- looks
-- flags: allow-oom,no-writes
-- args: queue
-- returns: its QueueStatus
-- spec: QUEUE-1, QUEUE-2
return queues.status(args.queue)
