-- tombstones: what is remembered of a job that is gone: its id, so that it is not stored again, and what its events
-- tell.
--
-- A row of 'tombstones' by id: n, digest, state, task, queue, until_ms, and `last`, the number of its last event in the
-- log. `tombs` finds the id by n. An id whose time is over, and of which events are kept yet, waits in the order of
-- `last` until the log has been trimmed as far.
-- spec: GONE-2, GONE-3, EVENT-7

function tombstones.of(id)
  return rows.get('tombstones', id)
end

-- The id that the job of a number had, or nil.
function tombstones.id_of(n)
  return call('HGET', key('tombs'), digits(n)) or nil
end

-- Write one.
function tombstones.put(id, stone)
  rows.put('tombstones', id, stone)
  call('HSET', key('tombs'), digits(stone.n), id)
  call('ZADD', key('tombstones_by_end'), digits(stone.until_ms), id)
end

-- Remember a job that is about to be removed, until an instant.
function tombstones.remember(job, until_ms)
  tombstones.put(job.id, {
    n = job.n, digest = job.digest, state = job.state, task = job.task, queue = job.queue, until_ms = until_ms,
    last = log.last_of(job),
  })
end

local function forget(id, stone)
  call('HDEL', key('tombs'), digits(stone.n))
  rows.drop('tombstones', id)
end

local function over(limit)
  return call('ZRANGEBYSCORE', key('tombstones_by_end'), '-inf', digits(step.now_ms), 'LIMIT', 0, limit)
end

local function free(limit)
  return call('ZRANGEBYSCORE', key('tombstones_by_event'), '-inf', digits(log.trimmed()), 'LIMIT', 0, limit)
end

-- Forget at most `limit` ids of which nothing else is kept; say whether there are more.
function tombstones.forget_ids(limit)
  local found = over(limit)
  rows.fetch('tombstones', found)
  for _, id in ipairs(found) do
    call('ZREM', key('tombstones_by_end'), id)
    call('ZADD', key('tombstones_by_event'), digits(tombstones.of(id).last), id)
  end
  local going = free(limit)
  rows.fetch('tombstones', going)
  for _, id in ipairs(going) do
    call('ZREM', key('tombstones_by_event'), id)
    forget(id, tombstones.of(id))
  end
  return #over(1) > 0 or #free(1) > 0
end
