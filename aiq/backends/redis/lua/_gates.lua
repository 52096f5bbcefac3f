-- gates: the jobs of one line that one limit by key refuses stand behind one gate.
--
-- Through a gate that opens goes its first job alone, and when that has left its lane, the next: of thousands with one
-- key, no more than one at a time stands in the way of the jobs behind them. `gate:ID` has the jobs in their order, a
-- row of `gates` says what the gate is and until when it is shut, and `aside` by job behind which it stands.
-- spec: LIMIT-16

local SEPARATOR = '\0'

local function id_of(spot, limit, key_)
  return table.concat({spot.id, limit, key_}, SEPARATOR)
end

local function row_of(queue, id)
  return queue .. SEPARATOR .. id
end

-- The name of the row of a gate.
function gates.name(spot, limit, key_)
  return row_of(spot.queue, id_of(spot, limit, key_))
end

-- The queue of a gate, and what it is called there, by the name of its row.
function gates.split(name)
  return name:match('^([^%z]*)%z(.*)$')
end

-- The name of the set of a gate's jobs.
function gates.set(queue, id)
  return 'gate:' .. queue .. ':' .. redis.sha1hex(id)
end

-- The gate behind which a job stands, {queue, id}, or nil.
function gates.of(job)
  return rows.get('aside', job.id)
end

-- The row of a gate, or nil.
function gates.get(queue, id)
  return rows.get('gates', row_of(queue, id))
end

local function drop_empty(queue, id)
  if zsets.any(gates.set(queue, id)) then return end
  rows.drop('gates', row_of(queue, id))
  parked.wake('gates', queue, id)
end

-- Shut a gate until an instant; one that was told to open is shut until 0.
function gates.shut(queue, id, wake_at_ms)
  local row = rows.with(gates.get(queue, id), {wake_at_ms = wake_at_ms})
  rows.put('gates', row_of(queue, id), row)
  parked.park('gates', queue, id, wake_at_ms, row.limit, row.key)
end

-- Take a job from behind its gate.
function gates.leave(gate, job)
  local queue, id = gate[1], gate[2]
  rows.drop('aside', job.id)
  zsets.drop(gates.set(queue, id), job.id)
  counters.crowd(queue, job.band, -1)
  drop_empty(queue, id)
end

-- Let a job stand behind a gate, until an instant or until its limit has room.
function gates.set_aside(job, pool, limit, key_, wake_at_ms)
  local spot = lanes.line_of(job, pool)
  local id = id_of(spot, limit, key_)
  local row = gates.get(spot.queue, id)
  if row then
    wake_at_ms = math.min(row.wake_at_ms, wake_at_ms)
  else
    row = {pool = pool, band = spot.band, tenant = spot.tenant, limit = limit, key = key_}
    rows.put('gates', row_of(spot.queue, id), row)
  end
  lanes.exit(spot, job.id, lanes.score(job))
  zsets.put(gates.set(spot.queue, id), job.id, lanes.score(job))
  counters.crowd(spot.queue, spot.band, 1)
  local gate = {spot.queue, id}
  rows.put('aside', job.id, gate)
  gates.shut(spot.queue, id, wake_at_ms)
  gates.let_follow(spot, job, gate)
end

-- Let the first job behind a gate stand in its lane again, in its old place.
local function open(queue, id)
  local row = gates.get(queue, id)
  local first = zsets.read('ZRANGE', gates.set(queue, id), 0, 0, 'WITHSCORES')
  zsets.drop(gates.set(queue, id), first[1])
  rows.drop('aside', first[1])
  counters.crowd(queue, row.band, -1)
  gates.shut(queue, id, bounds.MAX_INSTANT_MS)
  drop_empty(queue, id)
  lanes.enter(lanes.spot(queue, row.pool, row.band, row.tenant), first[1], tonumber(first[2]))
end

-- Open gates, in the order of the jobs that go through them, since each may lift a line.
function gates.open_all(queue, ids)
  local found = {}
  for place, id in ipairs(ids) do
    local first = zsets.read('ZRANGE', gates.set(queue, id), 0, 0, 'WITHSCORES')
    found[place] = {lanes.position(tonumber(first[2])), place, id}
  end
  table.sort(found, function(one, other)
    if one[1] ~= other[1] then return one[1] < other[1] end
    return one[2] < other[2]
  end)
  for _, one in ipairs(found) do open(queue, one[3]) end
end

-- A job has left its place, for behind a gate or from there: the next of its other limits and key may come into the
-- lane.
function gates.let_follow(spot, job, gate)
  local found = {}
  for _, limit in ipairs(jobs.taken_limits(job)) do
    local id = id_of(spot, limit, job.key)
    if not (gate and gate[2] == id) and gates.get(spot.queue, id) then found[#found + 1] = id end
  end
  gates.open_all(spot.queue, found)
end

-- Whether a job stands behind a gate where its record says.
function gates.holds(gate, job)
  return zsets.score(gates.set(gate[1], gate[2]), job.id) == lanes.score(job)
end
