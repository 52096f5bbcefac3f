-- patience: until when jobs that are ready wait for the pool of their route.
--
-- `patiences` has all of them by the end of their patience, `patience:QUEUE` those of a queue, and
-- `patience:QUEUE:POOL` those of a pool; a row of `patience` by job says where it stands. The first end of each pool
-- that is parked is in `patience_parked`.
-- spec: ROUTE-5

local SEPARATOR = '\0'

local function sets(row)
  return {'patiences', 'patience:' .. row.queue, 'patience:' .. row.queue .. ':' .. row.pool}
end

-- Keep step with a pool that is parked or opened.
function patience.watch(pool)
  local member = pool.queue .. SEPARATOR .. pool.name
  local first_ms = pool.wake_at_ms ~= 0 and zsets.least('patience:' .. pool.queue .. ':' .. pool.name) or nil
  if first_ms then zsets.put('patience_parked', member, first_ms) else zsets.drop('patience_parked', member) end
end

local function keep_step(row)
  local pool = lanes.pool(row.queue, row.pool)
  if pool.wake_at_ms ~= 0 then patience.watch(pool) end
end

-- Let a job have patience until an instant, in the place of what it had.
function patience.begin(job, pool, end_ms)
  patience.end_(job)
  local row = {end_ms = end_ms, queue = job.queue, pool = pool}
  rows.put('patience', job.id, row)
  for _, name in ipairs(sets(row)) do zsets.put(name, job.id, end_ms) end
  keep_step(row)
end

-- Forget a job's patience, if it has any.
function patience.end_(job)
  local row = rows.get('patience', job.id)
  if not row then return end
  rows.drop('patience', job.id)
  for _, name in ipairs(sets(row)) do zsets.drop(name, job.id) end
  keep_step(row)
end

-- When the patience of a job ends, or nil.
function patience.of(id)
  local row = rows.get('patience', id)
  return row and row.end_ms
end

-- At most so many jobs whose patience is over, in the order of (instant, id); those of a queue, or of all.
function patience.over(queue, now_ms, limit)
  return zsets.until_(queue and 'patience:' .. queue or 'patiences', now_ms, limit)
end

-- When the first patience with a pool that is parked ends, or nil. Pools whose instant has come are parked no more, and
-- are passed over. Behind as many as one sweep looks at, the answer is no later than the true one: who comes too early
-- finds nothing to do.
function patience.next_ms(now_ms)
  if not zsets.any('patience_parked') then return nil end
  local members = zsets.read('ZRANGE', 'patience_parked', 0, bounds.MAX_SWEEP - 1, 'WITHSCORES')
  for place = 1, #members, 2 do
    local queue, name = members[place]:match('^([^%z]+)%z(.*)$')
    if lanes.is_parked(queue, name, now_ms) then return tonumber(members[place + 1]) end
  end
  return #members == 2 * bounds.MAX_SWEEP and tonumber(members[#members]) or nil
end
