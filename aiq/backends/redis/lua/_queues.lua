-- queues: what bounds a queue, and how it stands.
--
-- The row of `queues` is a queue's settings, without what is as by default; `paused` has the queues that give out nothing.

-- A queue's QueueStatus; its settings are left out where all are as by default.
function queues.status(queue)
  local settings = rows.get('queues', queue) or {}
  return {
    name = queue, settings = next(settings) and settings, paused = rows.get('paused', queue),
    ready = settings.max_ready and counters.unstarted(queue),
  }
end

-- Set the bounds of a queue, in the place of what was set before. `limit` is the LimitSpec that the settings make, or
-- nil. spec: QUEUE-1, QUEUE-2
--
-- The limit that the settings make takes the place of the one that stood; what is left of it goes along. One that bounds
-- nothing any more is kept: what its jobs have taken of it is still given back.
function queues.configure(queue, settings, limit)
  local name = 'queue:' .. queue
  local old = books.limit(name)
  local wanted = limit and setmetatable(limit, defaults.LimitSpec)
  if old or wanted then
    local new = wanted or rows.with(old, {requests = none, concurrency = none})
    local parts = old and shaping.reshape(old, new) or {}
    books.put_limit(name, new)
    shaping.put_parts(name, parts)
  end
  rows.put('queues', queue, settings)
  step.wake('queue:' .. queue)
  step.wake('room:' .. queue)
end
