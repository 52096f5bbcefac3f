-- audit_lanes: what the audit finds about ready jobs: each stands in one place, and nobody else does.
-- spec: STATE-3, CLAIM-6, BAND-2, LIMIT-16

local BANDS = {0, 1, 2, 3}
-- How many jobs of a lane are looked at for one that keeps a gate shut.
local MOST = 1024
-- For how many rows a queue counts.
local ROWS = 16

local function of_place(job, tell)
  local pool, gate = fairness.pool(job), gates.of(job)
  local spot = lanes.line_of(job, pool)
  if gate then
    audits.stands(gates.set(gate[1], gate[2]))
    if not gates.holds(gate, job) then tell('STATE-3', 'it does not stand behind its gate') end
  elseif not keys.aside(job.id) then
    audits.stands(spot.lane)
    if zsets.score(spot.lane, job.id) ~= lanes.score(job) then
      tell('STATE-3', 'it is ready, and not in its place in a lane')
    end
  end
  if gate or pool ~= '' and not keys.aside(job.id) then
    audits.sum('crowds', job.queue .. ' ' .. job.band, 1)
  end
end

-- A ready job stands in its lane, behind a gate, or in the line of its key; no other does.
function audit_lanes.of_job(job, tell)
  if job.state == 'ready' then
    of_place(job, tell)
    audits.positions[#audits.positions + 1] = {job.position, job.id}
  elseif gates.of(job) or patience.of(job.id) then
    tell('STATE-3', 'it is ' .. job.state .. ', and the queue does not agree')
  end
end

-- Bands of a pool in which nothing stands have no credit.
local function of_credits(queue, tell)
  for name, pool in pairs(rows.all('pools:' .. queue, defaults.Pool)) do
    local busy = {}
    for _, band in ipairs(lanes.bands(queue, name)) do busy[band] = true end
    for _, band in ipairs(BANDS) do
      if pool.credits[band + 1] ~= 0 and not busy[band] then
        tell('BAND-2', 'pool ' .. texts.quoted(name) .. ' of queue ' .. queue .. ' has credit for an empty band')
      end
    end
  end
end

local function stands_in_lane(queue, row)
  local spot = lanes.spot(queue, row.pool, row.band, row.tenant)
  for _, id in ipairs(zsets.first(spot.lane, MOST)) do
    local job = jobs.get(id)
    for _, limit in ipairs(job and job.key == row.key and jobs.taken_limits(job) or {}) do
      if limit == row.limit then return true end
    end
  end
  return false
end

local function given_out(row)
  local state = books.limit_state(row.limit, row.key)
  return state ~= nil and (state.running > 0 or state.held > 0)
end

-- A gate waits to be told only while a job that it let through is in a lane, or its limit gave something out.
local function of_gates(queue, tell)
  for id, row in pairs(rows.all('gates:' .. queue)) do
    audits.stands(gates.set(queue, id), 0)
    if row.wake_at_ms == bounds.MAX_INSTANT_MS and not stands_in_lane(queue, row) and not given_out(row) then
      tell('LIMIT-16', 'a gate of limit ' .. texts.quoted(row.limit) .. ' ' .. texts.quoted(row.key)
        .. ' waits to be told, and nobody will')
    end
  end
end

-- Lanes in which something may stand though no job says so.
local function of_lanes(queue)
  for _, band in ipairs(BANDS) do
    audits.stands(lanes.spot(queue, '', band, '').lane, 0)
    for _, pool in ipairs(zsets.read('ZRANGE', 'busy_pools:' .. queue .. ':' .. band, 0, -1)) do
      for _, tenant in ipairs(lanes.busy_tenants(queue, pool, band)) do
        audits.stands(lanes.spot(queue, pool, band, tenant).lane, 0)
      end
    end
  end
  for id in pairs(rows.all('lines:' .. queue)) do audits.sum('line_counts', lanes.owner(queue, id), 1) end
end

-- Look at a queue of which anything is known, the one behind `cursor`.
function audit_lanes.of_queues(cursor, _, tell)
  local known = {}
  for _, name in ipairs({'counts', 'queues', 'crowds', 'line_counts'}) do
    for _, id in ipairs(call('HKEYS', key(name))) do known[id:match('^[^ %z]+')] = true end
  end
  for _, queue in ipairs(order.names(known)) do
    if order.less(cursor, queue) then
      of_credits(queue, tell)
      of_gates(queue, tell)
      of_lanes(queue)
      return queue, ROWS
    end
  end
end
