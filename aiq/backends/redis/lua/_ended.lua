-- ended: the jobs that have ended, in the order in which upkeep looks whether their time is over.
--
-- `ended:STATE` are those that go by the retention of their state, by finish; `apart` those with an instant of their
-- own, given (`keep_ms`) or put off (`go_ms`). A member is the job's number, in 16 digits, so that one instant is in
-- the order of enqueueing.
-- spec: KEEP-1, KEEP-2

local function member(job)
  return string.format('%016.0f', job.n)
end

local function place(job)
  if not job or not job.finished_at_ms then return nil end
  if job.go_ms then return 'apart', job.go_ms end
  if job.keep_ms then return 'apart', job.finished_at_ms + job.keep_ms end
  return 'ended:' .. job.state, job.finished_at_ms
end

-- Keep step with a record that is written.
function ended.follow(before, job)
  local old, old_ms = place(before)
  local new, new_ms = place(job)
  if old and old ~= new then call('ZREM', key(old), member(before)) end
  if new and (old ~= new or old_ms ~= new_ms) then call('ZADD', key(new), digits(new_ms), member(job)) end
end

-- Take out a job.
function ended.leave(job)
  local name = place(job)
  if name then call('ZREM', key(name), member(job)) end
end
