-- configure: set the bounds of a queue, in the place of what was set before.
-- flags: allow-oom
-- args: queue, settings, limit (the LimitSpec that the settings make, or nil)
-- returns: its QueueStatus
-- spec: QUEUE-1, QUEUE-2
queues.configure(args.queue, args.settings, args.limit)
return queues.status(args.queue)
