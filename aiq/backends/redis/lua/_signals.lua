-- signals: what was sent to a job.
--
-- `signals:JOB` has by the id of each its name, `bound`, the first answer, `kept`, whether no wait has taken it yet, its
-- `place` in the order in which they were sent, and `over_ms`, when it was taken; `signal_payloads:JOB` has its bytes.
-- `signal_order:JOB` are all of them by place, `kept_signals:JOB` those that are kept. `taken_signals` are those of all
-- jobs that were taken, by when that was; a member is the job's number and the place, in 16 digits each.
-- spec: SIG-1, SIG-3, SIG-11, KEEP-13

local function member(job, one)
  return string.format('%016.0f%016.0f', job.n, one.place)
end

local function next_place(job_id)
  local last = call('ZRANGE', key('signal_order', job_id), 0, 0, 'REV', 'WITHSCORES')
  return last[2] and tonumber(last[2]) + 1 or 1
end

-- A signal by its id, or nil.
function signals.get(job_id, id)
  return rows.get('signals:' .. job_id, id)
end

function signals.payload(job_id, id)
  return rows.bytes('signal_payloads:' .. job_id, id) or ''
end

-- Keep one behind those that were sent before; `one` has its name, `bound`, `kept` and `over_ms`.
function signals.put(job, id, one, payload)
  one.place = next_place(job.id)
  rows.put('signals:' .. job.id, id, one)
  rows.put_bytes('signal_payloads:' .. job.id, id, payload)
  call('ZADD', key('signal_order', job.id), digits(one.place), id)
  if one.kept then call('ZADD', key('kept_signals', job.id), digits(one.place), id) end
  if one.over_ms then call('ZADD', key('taken_signals'), digits(one.over_ms), member(job, one)) end
end

-- The oldest kept signal of a name, and its id; nil for none. At most MAX_KEPT_SIGNALS are kept.
function signals.oldest(job_id, name)
  local ids = call('ZRANGE', key('kept_signals', job_id), 0, -1)
  rows.fetch('signals:' .. job_id, ids)
  for _, id in ipairs(ids) do
    if signals.get(job_id, id).name == name then return id end
  end
  return nil
end

-- Let a wait take a kept signal; its bytes are the answer.
function signals.take(job, id)
  local one = rows.with(signals.get(job.id, id), {kept = false, over_ms = step.now_ms})
  rows.put('signals:' .. job.id, id, one)
  call('ZREM', key('kept_signals', job.id), id)
  call('ZADD', key('taken_signals'), digits(one.over_ms), member(job, one))
  return signals.payload(job.id, id)
end

-- The job and the id of one that was taken, by its name in the order of those.
function signals.taken(name)
  local job_id, place = jobs.id_of(tonumber(name:sub(1, 16))), name:sub(17)
  return job_id, call('ZRANGEBYSCORE', key('signal_order', job_id), place, place)[1]
end

-- Forget one.
function signals.drop(job, id)
  local one = signals.get(job.id, id)
  rows.drop('signals:' .. job.id, id)
  rows.put_bytes('signal_payloads:' .. job.id, id, false)
  call('ZREM', key('signal_order', job.id), id)
  if one.kept then call('ZREM', key('kept_signals', job.id), id) end
  if one.over_ms then call('ZREM', key('taken_signals'), member(job, one)) end
end

-- Forget the first of what was sent to a job, at most so many.
local function forget_first(job, room)
  local ids, kept = call('ZRANGE', key('signal_order', job.id), 0, room - 1), 0
  rows.fetch('signals:' .. job.id, ids)
  for _, id in ipairs(ids) do
    if signals.get(job.id, id).kept then kept = kept + 1 end
    signals.drop(job, id)
  end
  jobs.put(job, rows.with(job, {kept_signals = job.kept_signals - kept}))
end

-- Forget what was sent to a job that has ended, at most so much; the answer is how many signals it was, and whether that was
-- all.
function signals.forget(job, room)
  local many = call('ZCARD', key('signal_order', job.id))
  if many > room then
    if room > 0 then forget_first(job, room) end
    return room, false
  end
  if many == 0 then return 0, true end
  for _, one in pairs(rows.all('signals:' .. job.id)) do
    if one.over_ms then call('ZREM', key('taken_signals'), member(job, one)) end
  end
  rows.empty(
    'signals:' .. job.id, key('signal_payloads:' .. job.id), key('signal_order', job.id), key('kept_signals', job.id)
  )
  return many, true
end
