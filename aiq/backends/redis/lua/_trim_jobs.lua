-- trim_jobs: removing what belongs to jobs that stay: results, steps and signals.
--
-- The counter `results_mark` is the place {instant, number} of the last of the jobs that have succeeded at whose result
-- upkeep has looked.
-- spec: KEEP-10, KEEP-11, KEEP-12, KEEP-13, KEEP-14

-- The last of the jobs that have succeeded at whose result upkeep has looked.
function trim_jobs.results_mark()
  return rows.get('counters', 'results_mark') or {-1, 0}
end

function trim_jobs.mark_results(at_ms, n)
  rows.put('counters', 'results_mark', {at_ms, n})
end

local function instants_of(found)
  local instants = {}
  for place, one in ipairs(found) do instants[place] = one[1] end
  return instants
end

-- Those behind the last that was looked at, at most `limit`: what stays then stays as long as its job.
local function old_results(keep, limit)
  if retention.forever(keep) then return {} end
  local found, number = ended.first('ended:succeeded', limit, trim_jobs.results_mark())
  -- Jobs end within a ms in no order, so their results are looked at once that is over.
  while #found > 0 and found[#found][1] >= step.now_ms do found[#found] = nil end
  local old = {}
  for place = 1, retention.going(keep, number, instants_of(found), step.now_ms) do old[place] = found[place] end
  return old
end

-- Let the results of jobs that have succeeded go, but those that others need.
local function trim_results(keep, limit)
  local old = old_results(keep, math.min(limit, bounds.MAX_PURGED) + 1)
  local more = #old > math.min(limit, bounds.MAX_PURGED)
  if more then old[#old] = nil end
  for _, one in ipairs(old) do
    local job = jobs.get(jobs.id_of(one[2]))
    if job and not gone.is_needed(job) then jobs.drop_result(job.id) end
    trim_jobs.mark_results(one[1], one[2])
  end
  return more
end

-- Forget the first steps of a job that has ended, at most `limit`; say how many.
local function forget_steps(job, limit)
  local names = steps.keys(job.id, '', limit + 1)
  local count = math.min(limit, #names)
  for place = 1, count do steps.drop(job.id, names[place]) end
  ended.uncount_steps(job.id, count)
  if count == #names then jobs.put(job, rows.with(job, {remembers = none})) end
  return count
end

-- How many of the first steps of jobs that have ended are to go, at most `most`.
local function old_steps(keep, most)
  local found, old, place = ended.first('ended_steps', most), 0, 1
  local over_ms = retention.since_ms(keep, step.now_ms)
  while old < most and found[place] and found[place][1] <= over_ms do
    old = old + (rows.get('step_counts', jobs.id_of(found[place][2])) or 0)
    place = place + 1
  end
  return math.min(most, math.max(old, retention.excess(keep, counters.get('ended_steps')))), found
end

-- Forget steps of jobs that have ended.
local function trim_steps(keep, limit)
  if retention.forever(keep) then return false end
  local old, found = old_steps(keep, limit + 1)
  local left = math.min(old, limit)
  for _, one in ipairs(found) do
    if left == 0 then break end
    local job = jobs.get(jobs.id_of(one[2]))
    if job then left = left - forget_steps(job, left) else ended.lose(one[2]) end
  end
  return old > limit
end

-- Signals that were taken, and those of jobs that have ended that nobody took, as {instant, number of the job, place in
-- the order in which they were sent, id}; the first of each, at most `limit`.
local function taken(limit)
  local found = {}
  local flat = call('ZRANGE', key('taken_signals'), 0, limit - 1, 'WITHSCORES')
  for number = 1, #flat, 2 do
    local _, id = signals.taken(flat[number])
    local n, place = tonumber(flat[number]:sub(1, 16)), tonumber(flat[number]:sub(17))
    found[#found + 1] = {tonumber(flat[number + 1]), n, place, id}
  end
  return found
end

local function kept(limit)
  local found = {}
  for _, one in ipairs(ended.first('ended_signals', limit)) do
    local id = jobs.id_of(one[2])
    local flat = call('ZRANGE', key('kept_signals', id), 0, limit - 1, 'WITHSCORES')
    for number = 1, #flat, 2 do
      found[#found + 1] = {one[1], one[2], tonumber(flat[number + 1]), flat[number]}
    end
    if #found >= limit then break end
  end
  return found
end

-- Both, in the order in which they go.
local function first_signals(limit)
  local found = taken(limit)
  for _, one in ipairs(kept(limit)) do found[#found + 1] = one end
  table.sort(found, function(one, other)
    for place = 1, 3 do
      if one[place] ~= other[place] then return one[place] < other[place] end
    end
    return false
  end)
  return found
end

-- Look no more at a signal of a job whose row was removed by hand.
local function lose_signal(one)
  ended.lose(one[2])
  call('ZREM', key('taken_signals'), string.format('%016.0f%016.0f', one[2], one[3]))
end

-- Forget signals that no wait will take any more.
local function trim_signals(keep, limit)
  if retention.forever(keep) then return false end
  local found = first_signals(limit + 1)
  local number = call('ZCARD', key('taken_signals')) + counters.get('ended_signals')
  local old = retention.going(keep, number, instants_of(found), step.now_ms)
  for place = 1, math.min(old, limit) do
    local job = jobs.get(jobs.id_of(found[place][2]))
    local was_kept = job and signals.get(job.id, found[place][4]).kept
    if job then signals.drop(job, found[place][4]) else lose_signal(found[place]) end
    if was_kept then jobs.put(job, rows.with(job, {kept_signals = job.kept_signals - 1})) end
  end
  return old > limit
end

-- Forget all that a job has of which a part may go before it, but what was sent to it.
function trim_jobs.forget(job)
  if job.remembers then steps.empty(job.id) end
  items.forget(job)
end

-- Remove at most `limit` of each kind, the oldest first, and say whether more is over.
function trim_jobs.trim_jobs(limit)
  local spec = retention.spec()
  local more = trim_results(spec.results, limit)
  more = trim_steps(spec.steps, limit) or more
  return trim_signals(spec.signals, limit) or more
end
