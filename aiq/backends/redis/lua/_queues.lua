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
