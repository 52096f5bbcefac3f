-- configure: set the bounds of a queue, in the place of what was set before.
-- flags: allow-oom
-- args: queue, settings, limit (the LimitSpec that the settings make, or nil)
-- returns: its QueueStatus
-- spec: QUEUE-1, QUEUE-2

-- The limit that the settings make takes the place of the one that stood; what is left of it goes along. One that bounds
-- nothing any more is kept: what its jobs have taken of it is still given back.
local name = 'queue:' .. args.queue
local old = books.limit(name)
local wanted = args.limit and setmetatable(args.limit, defaults.LimitSpec)
if old or wanted then
  local new = wanted or rows.with(old, {requests = none, concurrency = none})
  local parts = old and shaping.reshape(old, new) or {}
  books.put_limit(name, new)
  shaping.put_parts(name, parts)
end
rows.put('queues', args.queue, args.settings)
step.wake('queue:' .. args.queue)
step.wake('room:' .. args.queue)
return queues.status(args.queue)
