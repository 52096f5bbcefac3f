-- fan_in: what the end of one job does to those that wait for it.
--
-- `waits:JOB` has the waits of a job by their key, as rows of `Wait` without that key. A wait has a place, JOB NUL KEY:
-- no id and no key holds that character. `edges_in:PLACE` are the jobs that it waits for, a sorted set: 0 for one that
-- has not ended, else how many of the wait had ended with it (1, 2, 3 …), below zero where it ended badly then.
-- `edges_out:JOB` are the places that wait for a job and that its end has not flipped, by their names; `needed_by:JOB`
-- is the set of all places that have an edge from it. The record of a job from which an edge has led is `needed`.
-- spec: FLOW-3, FLOW-6, FLOW-8, FLOW-11, FLOW-12, FLOW-13, FAN-1, FAN-2, FAN-3, FAN-6

-- How many texts one command is given.
local CHUNK = 1000

-- The key of the wait on dependencies, before a first run.
fan_in.DEPENDENCIES = ''

function fan_in.place(job_id, wait_key)
  return job_id .. '\0' .. wait_key
end

-- The job and the key of a place.
function fan_in.of_place(place)
  return place:match('^([^%z]*)%z(.*)$')
end

-- A wait of a job; one that nobody has begun is of no jobs.
function fan_in.wait(job_id, wait_key)
  return rows.get('waits:' .. job_id, wait_key, defaults.Wait) or setmetatable({total = 0}, defaults.Wait)
end

function fan_in.put_wait(job_id, wait_key, wait)
  rows.put('waits:' .. job_id, wait_key, wait)
end

-- Write how many of a wait had ended with each job, by id: many in one command.
function fan_in.put_edges(place, scored)
  local flat = {}
  for id, score in pairs(scored) do
    flat[#flat + 1] = digits(score)
    flat[#flat + 1] = id
  end
  for first = 1, #flat, CHUNK do
    call('ZADD', key('edges_in', place), unpack(flat, first, math.min(first + CHUNK - 1, #flat)))
  end
end

-- Flip one edge, from an ended job to the wait at a place, and move the counts of that by it. The wait is the answer.
function fan_in.count(place, ended_)
  local job_id, wait_key = fan_in.of_place(place)
  local succeeded = ended_.state == 'succeeded'
  local wait = waits.counted(fan_in.wait(job_id, wait_key), ended_.id, succeeded)
  fan_in.put_wait(job_id, wait_key, wait)
  local done = wait.succeeded + wait.failed
  call('ZADD', key('edges_in', place), digits(succeeded and done or -done), ended_.id)
  return wait
end

-- Let a job know that another one needs it, and keep it as long as that.
local function need(id, place)
  call('SADD', key('needed_by', id), place)
  local job = jobs.get(id)
  if not job.needed then rows.put('jobs', id, rows.with(job, {needed = true})) end
end

-- Let a job wait for others, each once; those that have ended count at once. There are at most MAX_DEPENDENCIES of them.
-- spec: FLOW-6, FLOW-8
function fan_in.add_edges(ids, dependent_id, wait_key)
  local place, wait, scored = fan_in.place(dependent_id, wait_key), fan_in.wait(dependent_id, wait_key), {}
  local total = wait.total
  for _, id in ipairs(ids) do
    if not scored[id] then
      total, scored[id] = total + 1, 0
      need(id, place)
      local state = jobs.get(id).state
      if states.TERMINAL[state] then
        wait = waits.counted(wait, id, state == 'succeeded')
        local done = wait.succeeded + wait.failed
        scored[id] = state == 'succeeded' and done or -done
      else
        call('ZADD', key('edges_out', id), 0, place)
      end
    end
  end
  fan_in.put_edges(place, scored)
  fan_in.put_wait(dependent_id, wait_key, rows.with(wait, {total = total}))
end

-- The jobs of a wait that succeeded, in the order in which they ended: at most MAX_DEPENDENCIES. spec: FLOW-12
function fan_in.winners(job_id, wait_key)
  return call('ZRANGEBYSCORE', key('edges_in', fan_in.place(job_id, wait_key)), 1, '+inf')
end

-- Whether a job will never run, because of a dependency that ended badly. spec: FLOW-3
function fan_in.doomed(job, wait)
  return wait.failed > 0 and job.on_upstream == 'fail'
end

-- A job that waits for no other one (any more): scheduled if its instant is ahead. spec: ENQ-5, ENQ-6, FLOW-2
function fan_in.started(job)
  local due_ms = job.at_ms or job.created_at_ms + job.delay_ms
  if due_ms <= step.now_ms then return transition.readied(job, 1) end
  return rows.with(job, {state = 'scheduled', lane = 1, due_ms = due_ms, wait_key = none})
end

-- Let a run's wait be over: it is remembered, and the job is ready again.
function fan_in.end_wait(row, job, wait_key, wait, kind)
  local needs_names = kind == 'children' and wait.need and wait.need < wait.total
  local winners = needs_names and fan_in.winners(job.id, wait_key) or {}
  local one, value = waits.remembered(wait, kind, winners, job.fence)
  local after = transition.remember(job, wait_key, one, value)
  if waits.pending(wait) > 0 and wait.rest == 'cancel' then outbox.append('cancel_rest', job.id, wait_key) end
  return transition.move(row, job, transition.readied(after, 0))
end

-- Move a waiting job, if this was what it waited for. It leaves waiting once. spec: FAN-3, FAN-6
local function advance(dependent, wait_key, wait, failed)
  if wait_key ~= fan_in.DEPENDENCIES then
    local kind = waits.verdict(wait)
    if kind then
      fan_in.end_wait('T12', dependent, wait_key, wait, kind)
      return
    end
  elseif not fan_in.doomed(dependent, wait) then
    if waits.pending(wait) == 0 then
      transition.move('T12', dependent, fan_in.started(dependent))
      return
    end
  elseif failed and wait.failed == 1 then
    outbox.append('die', dependent.id)
  end
  jobs.put(dependent, rows.with(dependent, {pending = waits.pending(wait)}))
end

-- Flip at most `limit` edges that lead out of an ended job, by the id of the dependent; say how many, and whether there
-- are more.
--
-- An edge is flipped once and then gone from its upstream, so a repeat finds nothing. spec: FAN-1, FAN-2
function fan_in.flip_edges(ended_, limit)
  local places = call('ZRANGE', key('edges_out', ended_.id), 0, limit)
  local left = #places > limit
  if left then places[#places] = nil end
  if #places == 0 then return 0, left end
  call('ZREM', key('edges_out', ended_.id), unpack(places))
  local ids = {}
  for number, place in ipairs(places) do ids[number] = fan_in.of_place(place) end
  jobs.fetch(ids)
  for number, place in ipairs(places) do
    local _, wait_key = fan_in.of_place(place)
    local wait, dependent = fan_in.count(place, ended_), jobs.get(ids[number])
    if dependent and dependent.state == 'waiting' and dependent.wait_key == wait_key then
      advance(dependent, wait_key, wait, ended_.state ~= 'succeeded')
    end
  end
  return #places, left
end
