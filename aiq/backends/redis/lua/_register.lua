-- register: the workers that have told of themselves. `workers_by_name` and `workers_by_beat` are their orders.
-- spec: WORK-1, WORK-3, WORK-4

-- Write down what a worker says of itself.
function register.put(beat)
  local known = rows.get('workers', beat.worker)
  local started_at_ms = known and known.started_at_ms or step.now_ms - (beat.up_ms or 0)
  rows.put('workers', beat.worker, {beat = beat, started_at_ms = started_at_ms, beat_at_ms = step.now_ms})
  if not known then call('ZADD', key('workers_by_name'), 0, beat.worker) end
  call('ZADD', key('workers_by_beat'), digits(step.now_ms), beat.worker)
end

-- Strike a worker off.
function register.remove(worker)
  rows.drop('workers', worker)
  call('ZREM', key('workers_by_name'), worker)
  call('ZREM', key('workers_by_beat'), worker)
end

-- The names of at most `limit` workers behind a name, in their order.
function register.names(after, limit)
  return call('ZRANGEBYLEX', key('workers_by_name'), '(' .. after, '+', 'LIMIT', 0, limit)
end

local function silent(limit)
  local since_ms = digits(step.now_ms - bounds.WORKER_KEPT_MS)
  return call('ZRANGEBYSCORE', key('workers_by_beat'), '-inf', since_ms, 'LIMIT', 0, limit)
end

-- Forget at most `limit` workers that have long been silent; say whether there are more.
function register.forget(limit)
  for _, worker in ipairs(silent(limit)) do register.remove(worker) end
  return #silent(1) > 0
end
