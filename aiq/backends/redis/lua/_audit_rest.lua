-- audit_rest: what the audit finds about the log, the outbox, schedules, and jobs that are gone.
-- spec: EVENT-7, GONE-1, GONE-6, SCHED-5, SCHED-15, STATE-3

-- What a job that is gone may have left under its id.
local OWNED = {
  'steps', 'step_values', 'step_order', 'signals', 'signal_payloads', 'signal_order', 'kept_signals', 'stream', 'history',
  'waits', 'edges_out', 'needed_by', 'living',
}
local COUNTERS = {'ended_steps', 'ended_signals', 'waiting_calls', 'waiting_schedules', 'letting_go', 'reshapes'}

-- Every event of the log is one of a job that is stored, which knows it, or of one that is remembered.
function audit_rest.of_log(cursor, slice, tell)
  local last = tonumber(cursor) or log.trimmed()
  local found = log.after(last, slice)
  for _, one in ipairs(found) do
    local n = one[2][1]
    if jobs.id_of(n) then
      audits.sum('events', digits(n), 1)
    elseif not tombstones.id_of(n) then
      tell('EVENT-7', 'event ' .. digits(one[1]) .. ' is kept, and the id of its job is forgotten')
    end
  end
  return #found > 0 and digits(found[#found][1]) or nil, #found
end

-- What is still to be done is so for jobs that are stored.
function audit_rest.of_outbox(cursor, slice, tell)
  local first = tonumber(cursor) or 0
  local found = call('LRANGE', key('outbox'), first, first + slice - 1)
  for _, text in ipairs(found) do
    local kind, job_id, wait_key = unpack(cmsgpack.unpack(text))
    audits.sum('outbox_rows', outbox.name(kind, job_id, wait_key), 1)
    audits.sum('outbox_jobs', job_id, 1)
    if not jobs.get(job_id) then tell('STATE-3', 'the outbox is to ' .. kind .. ' for a job that is not stored', job_id) end
  end
  return #found == slice and digits(first + slice) or nil, #found
end

-- A schedule has its next slot, or waits for a job that goes on.
function audit_rest.of_schedule(status, tell)
  audits.stands('schedule_names')
  if schedules.due_ms(status) then audits.stands('due_schedules') end
  if (status.phase == 'planned') ~= (status.next_ms ~= nil) then
    tell('SCHED-5', 'it is ' .. status.phase .. ', and its next slot does not agree')
  end
  local awaited = schedules.awaited(status)
  local job = awaited and jobs.get(awaited)
  if awaited then audits.sum('counter', 'waiting_schedules', 1) end
  if status.phase == 'waiting' and (not job or jobs.terminal(job)) then
    tell('SCHED-15', 'it waits for a job that has ended')
  end
end

-- Nothing is left of a job that is gone.
function audit_rest.of_tombstone(id, tell)
  for _, name in ipairs(OWNED) do
    if call('EXISTS', key(name, id)) == 1 then tell('GONE-1', 'it is not stored, and has ' .. name) end
  end
  local remains = rows.get('remains', id)
  if not remains and consumption.any('job', id) then
    tell('GONE-6', 'it is not stored, and what it has used is')
  end
  if call('EXISTS', key('children', id)) == 1 and not remains then
    tell('GONE-6', 'it is not stored, its children are, and nobody looks for them')
  end
  local listed = zsets.score('tombstones_by_end', id) or zsets.score('tombstones_by_event', id)
  if not listed or tombstones.id_of(tombstones.of(id).n) ~= id then tell('GONE-3', 'nobody will forget its id') end
end

-- A job of which something is still to be done is looked for.
function audit_rest.of_remains(id)
  local flow = rows.get('remains', id).flow
  audits.stands('remains_due')
  if flow then audits.sum('flows', flow, 1) end
end

-- Numbers that are counted over all jobs.
function audit_rest.of_counters()
  for _, name in ipairs(COUNTERS) do audits.sum('counter', name, -counters.get(name)) end
  audits.sum('table', 'jobs', -call('HLEN', key('jobs')))
end
