-- settle: recording what became of one run. What is decided from the record alone is in `settling`.
--
-- The last settlement that took effect on a job stands in its record, as `settled`: a list of fence, lease_id and id, by
-- which its repeat is recognised, and of what was answered: state, late, and the key of a step.
-- spec: STATE-6, LEASE-1, LEASE-2, LEASE-5, RETRY-10, RETRY-11, CALL-12, DEFER-1, HOLD-7, SIG-2, SIG-6, SIG-9, FLOW-9,
-- FLOW-10, TIME-6

-- The outcomes that come with an error to be written down.
local TELLS = {Retried = true, Died = true, Deferred = true}
local COMES_BACK = {ready = true, scheduled = true}

-- Close what a run that is over has reserved, and say what it leaves to the next one.
local function close(job, outcome)
  closing.close_run(job, outcome)
  for _, one in ipairs(outcome.throttles or {}) do closing.throttle(one, job) end
  return routes.course(outcome, job, step.now_ms)
end

-- Keep what a run left: its result, or its error.
local function keep(job, outcome, change)
  local error_ = TELLS[outcome.kind] and outcome.error or nil
  if not error_ and change.cause == 'deadline' then error_ = deadlines.deadline_passed(job) end
  if error_ then jobs.put_errors(job.id, failures.appended(job, error_, step.now_ms)) end
  if outcome.kind == 'Succeeded' then jobs.put_result(job.id, step.blob(outcome.result)) end
end

-- The record with what was decided; `left` is what `close` has said.
local function changed(job, left, change)
  left.state = change.state
  if COMES_BACK[change.state] then left.lane = change.lane end
  left.due_ms = change.delay_ms and step.now_ms + change.delay_ms or none
  left.wait_key = change.wait_key or none
  left.failures, left.stalls = change.failures, change.stalls
  left.cause = change.cause or none
  left.held = change.held or none
  return rows.with(job, left)
end

-- Hold a job that its run, or a spent quota, wants held; one whose budget has room by now is ready. spec: HOLD-7
local function hold(job, after, outcome)
  if outcome.kind ~= 'Held' then return holding.keep(job, after, {}) end
  local by, need = outcome.by or '', outcome.need or {}
  if (after.held == 'budget' or after.held == 'approval') and holding.has_room(by, need) then
    return transition.move('T21', job, transition.readied(after, 0))
  end
  return holding.keep(job, rows.with(after, {held_by = by}), need)
end

-- Bind the oldest kept signal of a name to a wait, if there is one. spec: SIG-3
local function take_signal(job, outcome)
  local id = job.kept_signals > 0 and signals.oldest(job.id, outcome.signal)
  if not id then return job end
  local one = {kind = 'signal', fence = job.fence}
  local after = transition.remember(job, outcome.key, one, signals.take(job, id))
  return rows.with(after, {kept_signals = job.kept_signals - 1})
end

-- Wait for a signal, unless what the wait is for is there already; then the run goes on.
--
-- A late run may not go on, so its job is ready again with the signal bound. spec: SIG-2, SIG-6, SIG-9
local function suspend(before, job, change, outcome)
  if not steps.get(job.id, outcome.key) then job = take_signal(job, outcome) end
  local step_key = steps.get(job.id, outcome.key) and outcome.key
  if step_key and not job.late then return transition.move('T11', before, job), step_key end
  local left = close(job, outcome)
  if step_key then
    return transition.move('T11', before, transition.readied(rows.with(job, left), 0)), step_key
  end
  keep(job, outcome, change)
  left.awaits = outcome.signal
  return transition.move('T11', before, changed(job, left, change))
end

-- Wait for children, unless the wait is over already. spec: FLOW-9, FLOW-10
local function wait_for_children(before, job, change, outcome)
  local left = close(job, outcome)
  if steps.get(job.id, outcome.key) then
    return transition.move('T10', before, transition.readied(rows.with(job, left), 0))
  end
  local wait = rows.with(fan_in.wait(job.id, outcome.key), {need = outcome.need or none, rest = outcome.rest or none})
  fan_in.put_wait(job.id, outcome.key, wait)
  local kind = waits.verdict(wait)
  if kind then return fan_in.end_wait('T10', rows.with(job, left), outcome.key, wait, kind) end
  left.pending = waits.pending(wait)
  return transition.move('T10', before, changed(job, left, change))
end

-- Let an outcome take effect: the job as that leaves it, and the key of the step that it is answered with, if any.
local function take_effect(before, job, outcome)
  local change = settling.after(outcome, job, step.now_ms)
  if change.state == 'suspended' then return suspend(before, job, change, outcome) end
  if change.state == 'waiting' then return wait_for_children(before, job, change, outcome) end
  local left = close(job, outcome)
  keep(job, outcome, change)
  local after = changed(job, left, change)
  if states.TERMINAL[change.state] then
    local tells = outcome.kind == 'Retried' or outcome.kind == 'Died'
    return ending.end_job(change.number, before, after, tells and outcome.sample or nil)
  end
  if change.state == 'held' then return hold(before, after, outcome) end
  if outcome.kind == 'Sleeping' and change.state == 'scheduled' then
    -- It cannot be claimed before it is due, so the sleep may be remembered as over already. spec: TIME-6
    after = transition.remember(after, outcome.key, {kind = 'timer', fence = job.fence}, '')
  end
  return transition.move(change.number, before, after)
end

local function answer(job_id, settled)
  local _, _, _, state, late, step_key = unpack(settled)
  local told = step_key and steps.get(job_id, step_key) and steps.tell(job_id, step_key) or nil
  return {state = state, late = late, step = told}
end

-- Record one outcome, if the run still owns the job; a repeat gets the first answer. The answer is {state, late, step},
-- {lost = reason} or {oversized = true}.
local function one(settlement)
  local lease, outcome = settlement.lease, settlement.outcome
  local stored = jobs.get(lease.job_id)
  local last = stored and stored.settled
  if last and last[1] == lease.fence and last[2] == lease.lease_id and last[3] == settlement.id then
    return answer(lease.job_id, last)
  end
  local before, reason = holder.held(lease)
  if not before then return {lost = reason} end
  if outcome.oversized then return {oversized = true} end
  local late = leases.expired(before, step.now_ms)
  local job = before.late == late and before or rows.with(before, {late = late})
  local after, step_key = take_effect(before, job, outcome)
  local settled = {lease.fence, lease.lease_id, settlement.id, after.state, late, step_key}
  -- The row that this step has written is its own to change.
  jobs.get(job.id).settled = settled
  return answer(job.id, settled)
end

-- A run that succeeded as any other outcome.
local function whole(success)
  local job_id, fence, lease_id, id, result = unpack(success)
  return {lease = {job_id = job_id, fence = fence, lease_id = lease_id}, id = id, outcome = {kind = 'Succeeded', result = result}}
end

local function job_of(settlement)
  return settlement[1] or settlement.lease.job_id
end

-- Read what settling is about to look at, in as few commands as there are tables; of plain jobs that is their record.
local function fetch(settlements, ids)
  local told, found, limited, all_succeed = {}, {}, {}, true
  jobs.fetch(ids)
  for place = 1, #settlements do all_succeed = all_succeed and settlements[place][1] ~= nil end
  if all_succeed and plain.are(ids) and not plain.has_calls() then return end
  for place, settlement in ipairs(settlements) do
    local may = settlement[1] and releasing.may(ids[place])
    local simple = may or settlement[1] and plain.is(ids[place])
    if may then limited[#limited + 1] = ids[place] end
    if not simple or plain.has_calls() then told[#told + 1] = (settlement[1] and whole(settlement) or settlement).lease end
    if not simple then found[#found + 1] = jobs.get(ids[place]) end
  end
  if #told > 0 then books.fetch_ends(told) end
  if #limited > 0 then releasing.fetch(limited) end
  if #found == 0 then return end
  keys.fetch(found)
  unique.fetch(found)
end

-- Record outcomes in their order. The answers are as those to one, or true for a run of a plain job that has succeeded.
-- `bytes` is how the ids of all of them are kept, if the caller has told it.
function settle.all(settlements, bytes)
  local answers, ids = {}, {}
  if #settlements == 0 then return answers end
  for place = 1, #settlements do ids[place] = job_of(settlements[place]) end
  if bytes then briefs.learn(ids, bytes) end
  fetch(settlements, ids)
  for place = 1, #settlements do
    local settlement = settlements[place]
    local success = settlement[1]
    if success and (plain.settle(unpack(settlement)) or releasing.settle(unpack(settlement))) then
      answers[place] = true
    else
      plain.count()
      releasing.write()
      answers[place] = one(success and whole(settlement) or settlement)
    end
  end
  plain.count()
  releasing.write()
  return answers
end

-- Let the runs of plain jobs succeed from a place on, as far as they are as with most; where the first stands that is not.
local function succeed(them, from)
  local ids, fences, lease_ids, names, first = unpack(them)
  for place = from, #ids do
    if not plain.settle(ids[place], fences[place], lease_ids[place], names[place], first + place - 1) then return place end
  end
  return #ids + 1
end

-- Let runs succeed that are told by columns: see exchange.lua. The answers are as above.
function settle.successes(them, bytes)
  local ids, fences, lease_ids, names, first = unpack(them)
  local answers, done = {}, 0
  if bytes then briefs.learn(ids, bytes) end
  jobs.fetch(ids)
  if plain.are(ids) and not plain.has_calls() then done = succeed(them, 1) - 1 end
  plain.count()
  for place = 1, done do answers[place] = true end
  local others = {}
  for place = done + 1, #ids do
    others[place - done] = {ids[place], fences[place], lease_ids[place], names[place], first + place - 1}
  end
  for place, answer in ipairs(settle.all(others)) do answers[done + place] = answer end
  return answers
end
