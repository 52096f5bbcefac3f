-- audit_jobs: what the audit finds about one job: that its fields agree, and that it is where its state says.
-- spec: STATE-2, STATE-3, STATE-4, CLAIM-8, STREAM-1, STREAM-8, SIG-11

local INSTANTS = {'scheduled', 'timeouts', 'leases', 'graces', 'deadlines'}
local MARKERS = {succeeded = 'end', dead = 'error', cancelled = 'cancelled'}

-- Upkeep may have let the result of a job go. spec: KEEP-10
local function may_be_dropped(job)
  return job.state == 'succeeded' and (job.finished_at_ms or 0) <= trim_jobs.results_mark()[1]
end

-- Fields that belong to some states only.
local function of_state(job, tell)
  local running = job.state == 'running'
  for _, name in ipairs({'lease_id', 'owner', 'expires_at_ms'}) do
    if (job[name] ~= nil) ~= running then
      tell('STATE-3', 'it is ' .. job.state .. ', and its lease does not agree')
      break
    end
  end
  if (jobs.result(job.id) ~= nil) ~= (job.state == 'succeeded') and not may_be_dropped(job) then
    tell('STATE-2', 'it is ' .. job.state .. ', and its result does not agree')
  end
  if jobs.terminal(job) ~= (job.finished_at_ms ~= nil) then
    tell('STATE-3', 'it is ' .. job.state .. ', and its end does not agree')
  end
  if job.state == 'scheduled' and not job.due_ms then tell('STATE-3', 'it is scheduled for no instant') end
  if (job.state == 'waiting' or job.state == 'suspended') and not job.wait_key then
    tell('STATE-3', 'it is ' .. job.state .. ' for nothing')
  end
end

-- The instants at which something happens to a job.
local function instants_of(job)
  local found = {}
  if job.due_ms then found[job.state == 'scheduled' and 'scheduled' or 'timeouts'] = job.due_ms end
  if job.expires_at_ms then
    found.leases = job.expires_at_ms
    local asked_ms = job.cancel_requested_at_ms
    found.graces = asked_ms and asked_ms + bounds.CANCEL_GRACE_MS
  end
  if not jobs.terminal(job) and not job.cancel_requested_at_ms then found.deadlines = job.deadline_ms end
  return found
end

-- Each job is found where its instants say, and by its number.
local function of_indexes(job, tell)
  local instants = instants_of(job)
  for _, name in ipairs(INSTANTS) do
    if zsets.score(name, job.id) ~= instants[name] then
      tell('STATE-3', 'it is ' .. job.state .. ', and the index ' .. name .. ' does not agree')
    end
    if instants[name] then audits.stands(name) end
  end
  if jobs.id_of(job.n) ~= job.id then tell('STORE-8', 'its number leads elsewhere') end
  audits.sum('counts', job.queue .. ' ' .. job.state, 1)
  if jobs.terminal(job) then audits.sum('counts', counters.ALL .. ' ' .. job.state, 1) end
  if jobs.unstarted(job) then audits.sum('unstarted', job.queue, 1) end
  if job.flow then audits.sum('flows', job.flow, 1) end
end

-- What has ended is where retention looks for it.
local function of_end(job, tell)
  for name, at_ms in pairs(ended.places(job)) do
    audits.stands(name)
    if not ended.stands(name, job, at_ms) then tell('STATE-3', 'it has ended, and ' .. name .. ' does not agree') end
  end
  if not job.finished_at_ms then return end
  audits.sum('counter', 'ended_signals', job.kept_signals)
  if job.remembers then
    local count = steps.count(job.id)
    audits.sum('counter', 'ended_steps', count)
    audits.sum('step_counts', job.id, count)
  end
end

-- A job is known to its parent.
local function of_family(job)
  if not job.parent_id then return end
  audits.stands('children:' .. job.parent_id)
  if not jobs.terminal(job) then audits.stands('living:' .. job.parent_id) end
end

-- Whether events tell a life from its event `first` on; false stands for one that is not there.
local function leads(found, first, job)
  local state
  for place, event in ipairs(found) do
    local n, number, _, source, target = unpack(event or {})
    if n ~= job.n or number ~= first + place - 1 then return false end
    if (place > 1 or first == 1) and (source or nil) ~= state then return false end
    state = target
  end
  return #found == 0 or state == job.state
end

-- Events tell the life without a gap: the whole, or the end of it once the log was trimmed. They are as many as the moves
-- of one job: a few for each of its runs, MAX_ATTEMPTS in a generation, and of its waits, which are steps.
local function of_events(job, tell)
  local numbers, found, claims = log.numbers_of(job, 1, job.events), {}, 0
  for place, number in ipairs(numbers) do
    found[place] = log.event(number) or false
    if found[place] and found[place][3] == 'T3' then claims = claims + 1 end
  end
  audits.sum('events', digits(job.n), -#numbers)
  local first = job.events - #numbers + 1
  if not leads(found, first, job) or first > 1 and log.trimmed() == 0 then
    tell('STATE-4', 'its ' .. #numbers .. ' events do not lead from one state to the next, and to the one it is in')
  end
  if first == 1 and claims ~= job.fence then
    tell('CLAIM-8', 'its fence ' .. digits(job.fence) .. ' is not the number of its claims')
  end
end

local function of_stream(job, tell)
  local name, trimmed = key('stream', job.id), items.of(job.id).trimmed
  local oldest = call('XRANGE', name, '-', '+', 'COUNT', 1)[1]
  local newest = call('XREVRANGE', name, '+', '-', 'COUNT', 1)[1]
  local first = oldest and oldest[1] or digits(trimmed + 1) .. '-0'
  local last = newest and newest[1] or digits(job.chunks) .. '-0'
  local known = rows.get('streams', job.id) or (job.stream_bytes or 0) == 0
  local whole = call('XLEN', name) == job.chunks - trimmed
  if not known or not whole or first ~= digits(trimmed + 1) .. '-0' or last ~= digits(job.chunks) .. '-0' then
    tell('STREAM-1', 'its items are not numbered ' .. digits(trimmed + 1) .. ' to ' .. digits(job.chunks))
  end
  local kind = newest and cmsgpack.unpack(newest[2][2])[1]
  if kind and jobs.terminal(job) and kind ~= MARKERS[job.state] then
    tell('STREAM-8', 'it is ' .. job.state .. ', and its stream ends with ' .. kind)
  end
end

local function of_signals(job, tell)
  local kept, all = call('ZCARD', key('kept_signals', job.id)), call('ZCARD', key('signal_order', job.id))
  if kept ~= job.kept_signals then
    tell('SIG-11', 'it counts ' .. digits(job.kept_signals) .. ' kept signals, and ' .. kept .. ' are stored')
  end
  if call('HLEN', key('signals', job.id)) ~= all then tell('SIG-11', 'the order of its signals does not agree') end
  audits.stands('taken_signals', all - kept)
end

local function of_steps(job, tell)
  local count = steps.count(job.id)
  if call('HLEN', key('steps', job.id)) ~= count or count > 0 and not job.remembers then
    tell('STATE-3', 'it has ' .. count .. ' steps, and its record or their order does not agree')
  end
end

local function of_hold(job, tell)
  local hold = holding.hold_of(job.id)
  if (job.state == 'held') ~= (hold ~= nil) or (job.held ~= nil) ~= (hold ~= nil) then
    tell('STATE-3', 'it is ' .. job.state .. ', and what it is held for does not agree')
  elseif hold and (hold.reason ~= job.held or (hold.by or '') ~= job.held_by) then
    tell('STATE-3', 'it is held by ' .. texts.quoted(job.held_by) .. ', and stands in line for another')
  end
  if hold then audits.sum('held', holding.line_of(hold.reason, hold.by), 1) end
end

-- What is wrong with a job.
function audit_jobs.of_job(job, tell)
  of_state(job, tell)
  of_indexes(job, tell)
  of_end(job, tell)
  of_family(job)
  of_events(job, tell)
  of_stream(job, tell)
  of_signals(job, tell)
  of_steps(job, tell)
  of_hold(job, tell)
  audit_lanes.of_job(job, tell)
  audit_keys.of_job(job, tell)
  audit_graves.of_job(job, tell)
end
