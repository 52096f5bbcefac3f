-- ended: the jobs that have ended, in the order in which upkeep looks whether their time is over, or that of what
-- belongs to them.
--
-- `ended:STATE` are those that go by the retention of their state, by finish; `apart` those with an instant of their
-- own, given (`keep_ms`) or put off (`go_ms`). `ended_steps`, `ended_signals` and `ended_streams` are those that
-- remember steps, have signals that nobody took, or have items that runs have appended, by finish. A member is the
-- job's number, in 14 digits, so that one instant is in the order of enqueueing. (Two more, and each would take 16 bytes
-- more.)
-- The counters `ended_steps` and `ended_signals` are how many steps and such signals these have; `step_counts` says how
-- many of the steps are a job's.
-- spec: KEEP-1, KEEP-2, KEEP-4, KEEP-12, KEEP-13

-- The member of a job by its number. Whole numbers that fit into a word of any machine are written in half of the time.
function ended.member_of(n)
  return string.format(n < 2147483648 and '%014d' or '%014.0f', n)
end

local function member(job)
  return ended.member_of(job.n)
end

local function place(job)
  if not job or not job.finished_at_ms then return nil end
  if job.go_ms then return 'apart', job.go_ms end
  if job.keep_ms then return 'apart', job.finished_at_ms + job.keep_ms end
  return 'ended:' .. job.state, job.finished_at_ms
end

-- What of a job that has ended may go before it.
local PARTS = {
  ended_steps = function(job) return job.remembers end,
  ended_signals = function(job) return job.kept_signals > 0 end,
  ended_streams = function(job) return (job.stream_bytes or 0) > 0 end,
}

local function when(job, has)
  return job and job.finished_at_ms and has(job) and job.finished_at_ms or nil
end

-- Count the steps of a job that has ended, once it is known which the step leaves.
function ended.count_steps(id)
  step.at_end(function()
    local count = steps.count(id)
    counters.raise('ended_steps', count - (rows.get('step_counts', id) or 0))
    rows.put('step_counts', id, count)
  end)
end

-- Count steps of a job no more that have gone, or all of them.
function ended.uncount_steps(id, number)
  local count = rows.get('step_counts', id) or 0
  number = number or count
  counters.raise('ended_steps', -number)
  if number == count then rows.drop('step_counts', id) else rows.put('step_counts', id, count - number) end
end

local function follow_part(name, has, before, job)
  local old_ms, new_ms = when(before, has), when(job, has)
  if old_ms == new_ms then return end
  if new_ms then zsets.put(name, member(job), new_ms) else zsets.drop(name, member(before)) end
  if name ~= 'ended_steps' then return end
  if new_ms then ended.count_steps(job.id) else ended.uncount_steps(before.id) end
end

local function follow_parts(before, job)
  for name, has in pairs(PARTS) do follow_part(name, has, before, job) end
  local old = before and before.finished_at_ms and before.kept_signals or 0
  local new = job and job.finished_at_ms and job.kept_signals or 0
  if old ~= new then counters.raise('ended_signals', new - old) end
end

-- Keep step with a record that is written.
function ended.follow(before, job)
  local old, old_ms = place(before)
  local new, new_ms = place(job)
  if not old and not new then return end
  if old and old ~= new then zsets.drop(old, member(before)) end
  if new and (old ~= new or old_ms ~= new_ms) then zsets.put(new, member(job), new_ms) end
  follow_parts(before, job)
end

-- The orders in which a job stands that has ended, with its instant in each.
function ended.places(job)
  local found, name, at_ms = {}, place(job)
  if name then found[name] = at_ms end
  for part, has in pairs(PARTS) do found[part] = when(job, has) end
  return found
end

-- Whether a job stands in an order at an instant; for the audit.
function ended.stands(name, job, at_ms)
  return zsets.score(name, member(job)) == at_ms
end

-- Take out a job.
function ended.leave(job)
  local name = place(job)
  if not name then return end
  zsets.drop(name, member(job))
  follow_parts(job, nil)
end

-- Take out the number of a job whose row was removed by hand: it must not stop those behind it for ever. spec: LIVE-1
function ended.lose(n)
  for _, name in ipairs({'apart', 'ended:succeeded', 'ended:dead', 'ended:cancelled'}) do zsets.drop(name, ended.member_of(n)) end
  for name in pairs(PARTS) do zsets.drop(name, ended.member_of(n)) end
  local id = jobs.id_of(n)
  if id then ended.uncount_steps(id) end
end

-- The first jobs of an order, at most `limit`: {instant, job}; behind a place {instant, number}, where one is given.
function ended.first(name, limit, after)
  zsets.settle(name)
  local first = 0
  if after then
    local probe = ended.member_of(after[2])
    local known = call('ZSCORE', key(name), probe)
    if not known or tonumber(known) ~= after[1] then
      -- No job stands there (any more): one does for as long as it takes to ask for its rank.
      probe = probe .. ' '
      call('ZADD', key(name), digits(after[1]), probe)
      first = call('ZRANK', key(name), probe)
      call('ZREM', key(name), probe)
    else
      first = call('ZRANK', key(name), probe) + 1
    end
  end
  local found = {}
  local flat = call('ZRANGE', key(name), first, first + limit - 1, 'WITHSCORES')
  for number = 1, #flat, 2 do found[#found + 1] = {tonumber(flat[number + 1]), tonumber(flat[number])} end
  return found, call('ZCARD', key(name)) - first
end
