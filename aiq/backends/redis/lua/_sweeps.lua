-- sweeps: bounded acts of maintenance: what an instant that has come does to jobs. Safe to repeat at any time.

local RETURNED = 0

-- Act on what is due, in the order of (instant, id), and say on how many.
--
-- The list is made first: an act may put a job back into the index, and it must not come twice. One whose row was
-- removed by hand is taken out of the index: it must not stop those behind it for ever.
-- spec: TIME-4, CLAIM-9, LIVE-1
local function sweep(index, limit, act)
  local ids = zsets.until_(index, step.now_ms, limit)
  jobs.fetch(ids)
  for _, id in ipairs(ids) do
    local job = jobs.get(id)
    if job then act(job) else zsets.drop(index, id) end
  end
  return #ids
end

-- What most storages have nothing in, or nothing for long.
local RARE = {
  'scheduled', 'deadlines', 'timeouts', 'graces', 'due_schedules', 'renewals', 'wakes', 'patiences', 'patience_parked',
  'freed_limits',
}
local glanced = false

-- Learn by one look, and once in a step, whether there is anything in what is mostly empty.
function sweeps.glance()
  if not glanced then zsets.glance(RARE) end
  glanced = true
end

-- Make scheduled jobs ready whose instant has come (T2), in the lane they were scheduled for. spec: TIME-3
function sweeps.promote(limit)
  return sweep('scheduled', limit, function(job)
    transition.move('T2', job, transition.readied(job, job.lane))
  end)
end

local function revoke(job)
  closing.revoke_run(job)
  local change = settling.after_expiry(job, step.now_ms)
  jobs.put_errors(job.id, failures.appended(job, failures.lease_expired(job), step.now_ms))
  local after = rows.with(job, {
    state = change.state,
    lane = change.state == 'ready' and change.lane or job.lane,
    failures = change.failures,
    stalls = change.stalls,
    cause = change.cause or none,
    resumes = none,
  })
  if states.TERMINAL[change.state] then
    ending.end_job(change.number, job, after)
  else
    transition.move(change.number, job, after)
  end
end

-- End runs whose lease has expired (T9). spec: LIVE-2, RETRY-7, RETRY-8, LEASE-9
function sweeps.revoke(limit)
  return sweep('leases', limit, revoke)
end

-- End waits for a signal that did not come in time (T13). spec: SIG-7, SIG-8
function sweeps.time_out(limit)
  return sweep('timeouts', limit, function(job)
    local remembered = transition.remember(job, job.wait_key or '', {kind = 'timeout', fence = job.fence}, '')
    transition.move('T13', job, transition.readied(remembered, RETURNED))
  end)
end

local function end_grace(job)
  local change = settling.after_grace(job, step.now_ms)
  closing.revoke_run(job)
  if change.cause == 'deadline' then
    jobs.put_errors(job.id, failures.appended(job, deadlines.deadline_passed(job), step.now_ms))
  end
  ending.end_job(change.number, job, rows.with(job, {
    state = change.state, failures = change.failures, cause = change.cause or none,
  }))
end

-- End running jobs that did not heed a request (T16, T23), live lease or not. spec: CANCEL-5, LEASE-7
function sweeps.end_graces(limit)
  return sweep('graces', limit, end_grace)
end

local function end_overdue(job)
  if job.state == 'running' then
    transition.move('T15', job, rows.with(job, {cancel_requested_at_ms = step.now_ms}))
    return
  end
  jobs.put_errors(job.id, failures.appended(job, deadlines.deadline_passed(job), step.now_ms))
  ending.end_job('T23', job, rows.with(job, {state = 'dead', cause = 'deadline'}))
end

-- End jobs whose deadline has passed (T23), and ask those that run to stop (T15). spec: DEADLINE-2 to DEADLINE-4
function sweeps.end_overdue(limit)
  return sweep('deadlines', limit, end_overdue)
end

-- Open the pools, lines and gates of some queues whose instant has come; say whether there may be more of them.
-- spec: POOL-1, POOL-3, LIMIT-15, LIMIT-16
function sweeps.wake_aside(queues)
  if not parked.any_due(step.now_ms) then return false end
  if parked.left_over() then parked.go_on() end
  local room = parked.room()
  for _, queue in ipairs(queues) do parked.wake_due(queue, step.now_ms, room) end
  return parked.used_up(room) or parked.left_over()
end

-- Let a ready job take another route, in the lane in which it stands (T19). spec: ROUTE-5, HOLD-6
function sweeps.reroute(job, route)
  transition.move('T19', job, rows.with(job, {route = route}))
end

local function lose_patience(job)
  local route = routes.freer_route(job, function(there)
    return lanes.is_parked(there.queue, fairness.pool(there), step.now_ms)
  end)
  if not route then
    transition.begin_patience(job, routes.patience_anew_ms(job))
    return 0
  end
  sweeps.reroute(job, route)
  return 1
end

local function over(queues, limit)
  if not queues then return patience.over(nil, step.now_ms, limit) end
  local found = {}
  for _, queue in ipairs(queues) do
    for _, id in ipairs(patience.over(queue, step.now_ms, limit)) do found[#found + 1] = id end
  end
  table.sort(found, function(one, other)
    local left, right = patience.of(one), patience.of(other)
    if left ~= right then return left < right end
    return order.less(one, other)
  end)
  return found
end

-- Give ready jobs of some queues, or of all (nil), another route whose patience with a parked pool is over (T19); say
-- how many. At most `limit` are looked at. One whose pool is not parked, or that has no freer route, waits anew.
-- spec: ROUTE-5
function sweeps.lose_patience(queues, limit)
  if #patience.over(nil, step.now_ms, 1) == 0 then return 0 end
  local ids, done = over(queues, limit), 0
  for place = 1, math.min(limit, #ids) do
    local job = jobs.get(ids[place])
    -- As in `sweep`.
    if job then done = done + lose_patience(job) else patience.end_({id = ids[place]}) end
  end
  return done
end

local TIMED = {'scheduled', 'timeouts', 'leases', 'graces', 'deadlines', 'due_schedules', 'renewals'}

-- How long until a sweep finds something, or something that stands aside may open; 0 for now, nil for never.
-- spec: TIME-7, POOL-4
function sweeps.next_due_ms()
  if not outbox.is_empty() or holding.left_over() or parked.left_over() then return 0 end
  local first
  local function consider(at_ms)
    if at_ms and (not first or at_ms < first) then first = at_ms end
  end
  for _, name in ipairs(TIMED) do consider(zsets.least(name)) end
  consider(parked.next_ms(step.now_ms))
  consider(patience.next_ms(step.now_ms))
  return first and math.max(0, first - step.now_ms)
end
