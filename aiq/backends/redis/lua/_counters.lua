-- counters: numbers that a storage keeps of itself: the last job, position and event, and how many jobs stand where.
-- spec: STATE-3, QUEUE-1

-- What stands in the place of a queue for all of them. No queue has this name.
counters.ALL = '*'

-- Numbers that this step has looked at: a batch raises the same three for every job.
local numbers = {}

function counters.get(name)
  local number = numbers[name]
  if not number then
    number = rows.get('counters', name) or 0
    numbers[name] = number
  end
  return number
end

function counters.put(name, number)
  numbers[name] = number
end

-- Raise a number, and tell what it is now; one that nobody has raised is 0.
function counters.raise(name, by)
  local raised = (numbers[name] or counters.get(name)) + (by or 1)
  numbers[name] = raised
  return raised
end

-- Count into or out of a row of a table, which is not there while it counts nothing.
function counters.add(name, id, by)
  local left = (rows.get(name, id) or 0) + by
  if left == 0 then rows.drop(name, id) else rows.put(name, id, left) end
end

-- What this step counts of jobs, by table and row: a batch changes the same few rows again and again.
local gathered = {counts = {}, unstarted = {}, crowds = {}}

local function gather(name, id, by)
  local sums = gathered[name]
  sums[id] = (sums[id] or 0) + by
end

-- With the first job a storage notes how what it keeps is laid out.
local function note_layout()
  if (numbers.jobs or 0) > 0 and not rows.get('counters', 'jobs') then rows.put('counters', 'layout', fields.LAYOUT) end
end

-- Let the rows say what this step has counted.
function counters.flush()
  note_layout()
  for name, number in pairs(numbers) do
    if number ~= (rows.get('counters', name) or 0) then rows.put('counters', name, number) end
  end
  for name, sums in pairs(gathered) do
    local ids = {}
    for id in pairs(sums) do ids[#ids + 1] = id end
    rows.fetch(name, ids)
    for _, id in ipairs(ids) do
      if sums[id] ~= 0 then counters.add(name, id, sums[id]) end
      sums[id] = nil
    end
  end
end

-- Count a job into or out of its queue and state. Those that have ended are counted in all queues together, too.
function counters.count(queue, state, by)
  gather('counts', queue .. ' ' .. state, by)
  if states.TERMINAL[state] then gather('counts', counters.ALL .. ' ' .. state, by) end
end

-- How many jobs have ended in a state, in all queues.
function counters.ended(state)
  local id = counters.ALL .. ' ' .. state
  return (rows.get('counts', id) or 0) + (gathered.counts[id] or 0)
end

-- Count a job into or out of those that a queue's bound bounds.
function counters.unstart(queue, by)
  gather('unstarted', queue, by)
end

function counters.unstarted(queue)
  return (rows.get('unstarted', queue) or 0) + (gathered.unstarted[queue] or 0)
end

-- Count a job into or out of those of a queue and band that stand ready and not in the plain pool's lane.
function counters.crowd(queue, band, by)
  gather('crowds', queue .. ' ' .. band, by)
end

function counters.crowded(queue, band)
  local id = queue .. ' ' .. band
  return (rows.get('crowds', id) or 0) + (gathered.crowds[id] or 0)
end

-- Count a job into or out of a flow: those that are stored, and those that are gone and have left something.
-- `flow_names` are the flows that have any.
function counters.flow(name, by)
  local before = rows.get('flows', name)
  counters.add('flows', name, by)
  if not before then
    call('ZADD', key('flow_names'), 0, name)
  elseif not rows.get('flows', name) then
    call('ZREM', key('flow_names'), name)
  end
end
