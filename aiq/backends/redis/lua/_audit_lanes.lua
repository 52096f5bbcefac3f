-- audit_lanes: what the audit finds about ready jobs: each stands in one place, and nobody else does.
-- spec: STATE-3, CLAIM-6, BAND-2, LIMIT-16

local BANDS = {0, 1, 2, 3}

-- The gates of its limits keep others back as long as a job is in a lane.
local function lets_others_wait(spot, job)
  for _, limit in ipairs(job.key and jobs.taken_limits(job) or {}) do
    local name = gates.name(spot, limit, job.key)
    if rows.get('gates', name) then audits.open[#audits.open + 1] = name end
  end
end

local function of_place(job, tell)
  local pool, gate = fairness.pool(job), gates.of(job)
  local spot = lanes.line_of(job, pool)
  if gate then
    audits.stands(gates.set(gate[1], gate[2]))
    if not gates.holds(gate, job) then tell('STATE-3', 'it does not stand behind its gate') end
  elseif not keys.aside(job.id) then
    audits.stands(spot.lane)
    if not whereabouts.stands(spot, job) then
      tell('STATE-3', 'it is ready, and not in its place in a lane')
    end
    lets_others_wait(spot, job)
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
function audit_lanes.of_pool(id, tell)
  local queue, name = lanes.split_pool(id)
  local busy, pool = {}, lanes.pool(queue, name)
  for _, band in ipairs(lanes.bands(queue, name)) do busy[band] = true end
  for _, band in ipairs(BANDS) do
    if pool.credits[band + 1] ~= 0 and not busy[band] then
      tell('BAND-2', 'pool ' .. texts.quoted(name) .. ' of queue ' .. queue .. ' has credit for an empty band', '')
    end
  end
end

local function given_out(row)
  local state = books.limit_state(row.limit, row.key)
  return state ~= nil and (state.running > 0 or state.held > 0)
end

-- A gate waits to be told only while a job that it let through is in a lane, or its limit gave something out.
function audit_lanes.of_gate(name)
  local row = rows.get('gates', name)
  audits.stands(gates.set(gates.split(name)), 0)
  if row.wake_at_ms ~= bounds.MAX_INSTANT_MS or given_out(row) then return end
  local named = texts.quoted(row.limit) .. ' ' .. texts.quoted(row.key)
  audits.shut[#audits.shut + 1] = {name, 'a gate of limit ' .. named .. ' waits to be told, and nobody will'}
end

-- A line is counted, and there may stand something in its lane though no job says so.
function audit_lanes.of_line(name)
  local spot = lanes.spot_named(name)
  audits.sum('line_counts', lanes.pool_spot(spot.queue, spot.pool), 1)
  audits.stands(spot.lane, 0)
end

-- Nor does anything stand in the lanes of the plain pool of a queue of which anything is known.
function audit_lanes.of_queue(queue)
  for _, band in ipairs(BANDS) do audits.stands(lanes.spot(queue, '', band, '').lane, 0) end
end
