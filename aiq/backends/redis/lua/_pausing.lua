-- pausing: closing an ordered key, and opening it again; and letting the next of a line hold its key.
-- spec: KEY-3, KEY-4, KEY-11

-- As many of a line as there is room for, and those of them whose row was removed by hand.
local function line_of(spot)
  local ids, line, lost = keys.first(spot, keys.room(keys.state(spot))), {}, {}
  jobs.fetch(ids)
  for _, id in ipairs(ids) do
    local job = jobs.get(id)
    if job then line[#line + 1] = job else lost[#lost + 1] = id end
  end
  return line, lost
end

-- Those of a line for whom there is a place at its key.
function pausing.may_go_on(spot)
  return keys.called_up(keys.room(keys.state(spot)), (line_of(spot)))
end

local function join(job)
  lanes.join(job, fairness.pool(job))
  step.wake('queue:' .. job.queue)
end

-- Those that hold a key and are ready, in the order of enqueueing.
local function ready_holders(spot)
  local ids, found = keys.holders(spot), {}
  jobs.fetch(ids)
  for _, id in ipairs(ids) do
    local job = jobs.get(id)
    if job and job.state == 'ready' then found[#found + 1] = job end
  end
  return found
end

-- Start nothing of a key from now on. spec: KEY-11
function pausing.pause_key(queue, name)
  local spot = keys.spot(queue, name)
  for _, job in ipairs(ready_holders(spot)) do
    if not keys.aside(job.id) then
      lanes.step_out(job, fairness.pool(job))
      keys.stand_aside(job)
    end
  end
  keys.pause(spot, true)
end

-- Start jobs of a key again, at once. spec: KEY-11
function pausing.resume_key(queue, name)
  local spot = keys.spot(queue, name)
  if not keys.state(spot).paused then return end
  for _, job in ipairs(ready_holders(spot)) do
    keys.leave_aside(job)
    join(job)
  end
  keys.pause(spot, false)
end

-- Read the lines of some spots, as far as there may be room for them, in two commands.
local function fetch(spots)
  local ids = {}
  for _, spot in ipairs(spots) do
    for _, id in ipairs(keys.first(spot, keys.room(keys.state(spot)))) do ids[#ids + 1] = id end
  end
  jobs.fetch(ids)
  rows.fetch('keyed', ids)
end

-- Nobody is to stand for ever behind jobs whose rows were removed by hand.
local function lose_rowless(spot)
  local _, lost = line_of(spot)
  while #lost > 0 do
    for _, id in ipairs(lost) do keys.lose(spot, id) end
    _, lost = line_of(spot)
  end
end

-- Let those who go first in each line hold its key, as far as there is room, and come into their lane.
-- spec: KEY-3, KEY-4
function pausing.call_up()
  local spots = keys.opened()
  if #spots > 1 then fetch(spots) end
  for _, spot in ipairs(spots) do
    lose_rowless(spot)
    for _, job in ipairs(pausing.may_go_on(spot)) do
      keys.take(spot, job.id)
      join(job)
    end
  end
end
