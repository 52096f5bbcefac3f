-- settling: what becomes of a job whose run has ended, by its outcome or by its lease.
--
-- An outcome is a map with the fields of its class of aiq.model and the name of that class as `kind`, as in
-- {kind = 'Retried', error = {...}, delay_ms = 0}. An answer has the fields of `rules.settling.Change`; a
-- `delay_ms` that is nothing means never.
-- spec: RETRY-1, RETRY-2, RETRY-4, RETRY-5, CANCEL-3, DEADLINE-5, DEADLINE-6

local RETURNED, FRESH = 0, 1

local function change(number, state, failed, stalls, more)
  local made = {number = number, state = state, failures = failed, stalls = stalls, lane = RETURNED}
  for name, value in pairs(more or {}) do made[name] = value end
  return made
end

-- A delay within what a store takes. spec: RETRY-4
function settling.clamp(delay_ms)
  return math.max(0, math.min(delay_ms, bounds.MAX_DELAY_MS))
end

local function timed(number, delay_ms, lane, failed, stalls)
  if delay_ms <= 0 then return change(number, 'ready', failed, stalls, {lane = lane}) end
  return change(number, 'scheduled', failed, stalls, {lane = lane, delay_ms = settling.clamp(delay_ms)})
end

-- The run is over without success, and its deadline has passed: it is the last one.
local function too_late(job, stalls)
  return change('T23', 'dead', job.failures + 1, stalls, {cause = 'deadline'})
end

local function after_failure(outcome, job)
  local failed = job.failures + 1
  if outcome.kind == 'Died' or failed >= job.max_attempts then
    return change('T7', 'dead', failed, job.stalls, {cause = outcome.error.cause or 'handler'})
  end
  return timed('T6', outcome.delay_ms, FRESH, failed, job.stalls)
end

-- spec: DEFER-1, DEFER-2, ROUTE-4
local function after_deferral(outcome, job, now_ms)
  local since_ms = job.deferred_at_ms or now_ms
  if now_ms - since_ms >= job.max_deferral_ms then
    return change('T7', 'dead', job.failures + 1, job.stalls, {cause = 'rate_limited'})
  end
  if not outcome.close_route then
    return timed(outcome.delay_ms > 0 and 'T20' or 'T8', outcome.delay_ms, RETURNED, job.failures, job.stalls)
  end
  if not routes.next_route(job, bit.bor(job.closed_routes, bit.lshift(1, job.route))) then
    return change('T21', 'held', job.failures, job.stalls, {held = 'quota'})
  end
  return timed('T8', 0, RETURNED, job.failures, job.stalls)
end

-- Where a run leaves a job that may go on, by its outcome.
local GOING_ON = {
  Retried = after_failure,
  Died = after_failure,
  Deferred = after_deferral,
  Released = function(outcome, job)
    local delay_ms = outcome.delay_ms or 0
    return timed(delay_ms > 0 and 'T20' or 'T8', delay_ms, RETURNED, job.failures, job.stalls)
  end,
  -- Never straight to ready: a sleep of nothing is still one step that lets others go first.
  Sleeping = function(outcome, job)
    local delay_ms = settling.clamp(outcome.delay_ms)
    return change('T20', 'scheduled', job.failures, job.stalls, {delay_ms = delay_ms, wait_key = outcome.key})
  end,
  Suspended = function(outcome, job)
    local limit_ms = outcome.timeout_ms and settling.clamp(outcome.timeout_ms)
    return change('T11', 'suspended', job.failures, job.stalls, {delay_ms = limit_ms, wait_key = outcome.key})
  end,
  Waiting = function(outcome, job)
    return change('T10', 'waiting', job.failures, job.stalls, {wait_key = outcome.key})
  end,
  Held = function(outcome, job)
    return change('T21', 'held', job.failures, job.stalls, {held = outcome.reason})
  end,
}

-- Decide where a settlement takes a running job whose lease is the settler's.
--
-- A deadline that has passed and a cancel that was asked for end every run but one that succeeded. For 'Suspended' and
-- 'Waiting' the answer is where the job goes if its wait is not over yet, and for 'Held' if its budget has no room.
-- spec: CANCEL-3, CANCEL-4, DEADLINE-5, DEADLINE-6, RETRY-1, RETRY-2, RETRY-5
function settling.after(outcome, job, now_ms)
  if outcome.kind == 'Succeeded' then return change('T5', 'succeeded', job.failures, job.stalls) end
  if deadlines.overdue(job, now_ms) then return too_late(job, job.stalls) end
  if job.cancel_requested_at_ms or outcome.kind == 'Cancelled' then
    return change('T16', 'cancelled', job.failures, job.stalls)
  end
  return GOING_ON[outcome.kind](outcome, job, now_ms)
end

-- Decide what becomes of a running job whose lease is revoked. spec: RETRY-7, RETRY-8, CANCEL-4, DEADLINE-6
function settling.after_expiry(job, now_ms)
  local failed, stalls = job.failures + 1, job.stalls + 1
  if deadlines.overdue(job, now_ms) then return too_late(job, stalls) end
  if job.cancel_requested_at_ms then return change('T9', 'cancelled', failed, stalls) end
  if failed >= job.max_attempts or stalls >= job.max_stalls then
    return change('T9', 'dead', failed, stalls, {cause = 'stalled'})
  end
  return change('T9', 'ready', failed, stalls)
end

-- Decide what becomes of a running job that has not heeded a request to stop. spec: CANCEL-5, DEADLINE-6
function settling.after_grace(job, now_ms)
  if deadlines.overdue(job, now_ms) then return too_late(job, job.stalls) end
  return change('T16', 'cancelled', job.failures, job.stalls)
end
