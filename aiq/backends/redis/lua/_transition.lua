-- transition: the one way a job changes. Every move is a row of the table of states, checked here.
-- spec: STATE-1, STATE-4

local PARKED = {waiting = true, suspended = true, scheduled = true}
local TIMED = {scheduled = true, suspended = true}

local function check(row, source, target)
  local found = states.ROWS[row]
  local fits = source and found.sources[source] or not source and next(found.sources) == nil
  if not fits or not found.targets[target] then
    error(row .. ' (' .. found.name .. ') does not lead from ' .. (source or 'nothing') .. ' to ' .. target)
  end
end

-- The place of a job that becomes ready. spec: LIFO-1, LIFO-2
local function next_position(job)
  local number = counters.raise('positions')
  local settings = rows.get('queues', job.queue)
  local lifo = settings and settings.lifo and job.lane == 1 and not jobs.ordered(job)
  return lifo and -number or number
end

-- What a state does not use is cleared in one place, so that no row can leave it behind. A record that stands as it is
-- handed in, as one that only begins anew does, is copied; another was made for this move, and becomes what is stored.
local function cleared(before, job)
  local state = job.state
  local moved = (job == before or job == jobs.get(job.id)) and rows.with(job, {}) or job
  moved.events = job.events + 1
  if state ~= 'running' then moved.lease_id, moved.owner, moved.expires_at_ms = nil, nil, nil end
  if state == 'ready' then moved.position = next_position(job) end
  if not TIMED[state] then moved.due_ms = nil end
  if not PARKED[state] then moved.wait_key = nil end
  if state ~= 'waiting' then moved.pending = nil end
  if state ~= 'held' then moved.held, moved.held_by = nil, nil end
  if state ~= 'suspended' then moved.awaits = nil end
  moved.finished_at_ms = states.TERMINAL[state] and step.now_ms or nil
  -- One that ends again is looked at by its new end.
  moved.go_ms = nil
  return moved
end

-- Wake those who wait for the job, for work, or for room in its queue.
local function tell(before, moved, was_unstarted)
  step.wake_job(moved.id)
  if not before or moved.state == 'ready' then step.wake('queue:' .. moved.queue) end
  if not before then return end
  -- The next job of its key may have come back into its lane.
  if before.state == 'ready' and before.key then step.wake('queue:' .. moved.queue) end
  local settings = rows.get('queues', moved.queue)
  local bound = settings and settings.max_ready
  if bound and was_unstarted and not jobs.unstarted(moved) and counters.unstarted(moved.queue) < bound then
    step.wake('room:' .. moved.queue)
  end
end

-- Take a job from `before` (nil for a new one) to `after` by a row of the table, with its event and its wake-ups.
--
-- `after` names the state and what the row decides; what follows from the state alone is done here. The record as it
-- was stored is the answer: `after` itself, unless that is `before`, or what is stored.
function transition.move(row, before, after)
  local source = before and before.state
  check(row, source, after.state)
  local moved = cleared(before, after)
  if not before then moved.n = moved.n or jobs.next_number() end
  if jobs.ordered(moved) then keys.move(before, moved) end
  events.log(row, before, moved)
  jobs.put(before, moved)
  if source == 'held' then holding.drop(moved.id) end
  if moved.state == 'ready' then transition.begin_patience(moved) end
  tell(before, moved, before and jobs.unstarted(before))
  return moved
end

-- Let a ready job wait for its route, as long as that has patience, or as long as it is said. spec: ROUTE-5
function transition.begin_patience(job, patience_ms)
  local route = job.routes[job.route + 1]
  patience_ms = patience_ms or route and route.patience_ms
  if patience_ms then patience.begin(job, fairness.pool(job), step.now_ms + patience_ms) end
end

-- A job that can be claimed, in one of the two lanes (0 returned, 1 fresh); `move` gives it its position.
function transition.readied(job, lane)
  return rows.with(job, {state = 'ready', lane = lane})
end

-- Keep a step, unless one stands under its key: the first one stands. spec: STEP-1, STEP-6, STEP-7
-- `one` is {kind, fence, digest}; its value goes apart, as bytes.
function transition.remember(job, step_key, one, value)
  if not steps.get(job.id, step_key) then steps.put(job.id, step_key, one, value) end
  return rows.with(job, {remembers = true})
end
