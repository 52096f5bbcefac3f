-- deaths: keeping the dead-letter view in step with the jobs, and what a group becomes by each step.
-- spec: DEAD-1 to DEAD-6, DEAD-10, DEAD-22

-- A group with one more job that died of an error; `job` is the dead job. spec: DEAD-1, DEAD-3, DEAD-4
function deaths.died(group, job, error_, now_ms)
  local before = group or setmetatable(
    {fingerprint = failures.of_error(error_), first_seen_ms = now_ms}, defaults.DeadGroup)
  local pattern = error_.pattern or ''
  return rows.with(before, {
    task = job.task,
    cause = job.cause or error_.cause or 'handler',
    type = error_.type,
    code = error_.code or '',
    place = error_.place or '',
    pattern = pattern ~= '' and pattern or failures.beginning(error_.message, bounds.MAX_SAMPLE_BYTES),
    last_seen_ms = now_ms,
    dead = before.dead + 1,
    died = before.died + 1,
    attempts = before.attempts + jobs.attempt(job),
    touched_at_ms = now_ms,
  })
end

-- A group whose jobs have used so much more, or less. spec: DEAD-4, DEAD-5
function deaths.wasted(group, tokens, usd_micros)
  return rows.with(group, {tokens = group.tokens + tokens, usd_micros = group.usd_micros + usd_micros})
end

-- A group of which one job has another generation.
function deaths.redriven(group, now_ms)
  return rows.with(group, {dead = group.dead - 1, redriven = group.redriven + 1, touched_at_ms = now_ms})
end

-- A group of which one job is removed.
function deaths.removed(group, now_ms)
  return rows.with(group, {dead = group.dead - 1, touched_at_ms = now_ms})
end

-- A group of which one job has succeeded after its redrive. spec: DEAD-22
function deaths.recovered(group, now_ms)
  return rows.with(group, {recovered = group.recovered + 1, touched_at_ms = now_ms})
end

-- A group of which one job has died again after its redrive. spec: DEAD-22
function deaths.relapsed(group, now_ms)
  return rows.with(group, {relapsed = group.relapsed + 1, touched_at_ms = now_ms})
end

-- What is kept of a sample where so many are kept already. spec: DEAD-6
function deaths.kept_sample(sample, kept, most)
  if not sample or kept >= most then return nil end
  return failures.cut(sample, bounds.MAX_SAMPLE_BYTES)
end

-- What stands for the error of a job that died without one.
function deaths.no_error(cause)
  return {type = '', message = '', cause = cause or 'handler'}
end

-- Let the group of a dead job count what that has used, as far as no death of it has counted it. spec: DEAD-5
function deaths.count_waste(job_id)
  local death, before = graves.death(job_id), graves.following(job_id) or {tokens = 0, usd_micros = 0}
  local tokens, usd_micros = consumption.of_job(job_id)
  tokens, usd_micros = tokens - before.tokens, usd_micros - before.usd_micros
  if tokens == death.tokens and usd_micros == death.usd_micros then return end
  local group = graves.group(death.fingerprint)
  graves.put_group(deaths.wasted(group, tokens - death.tokens, usd_micros - death.usd_micros))
  graves.put_death(job_id, rows.with(death, {tokens = tokens, usd_micros = usd_micros}))
end

local function bury(job, sample)
  local errors = jobs.errors(job.id)
  local error_ = errors[#errors] or deaths.no_error(job.cause)
  local fingerprint = failures.of_error(error_)
  graves.put_group(deaths.died(graves.group(fingerprint), job, error_, step.now_ms))
  graves.bury(job.id, {
    fingerprint = fingerprint, n = job.n, died_at_ms = step.now_ms, tokens = 0, usd_micros = 0,
    sample = deaths.kept_sample(sample, #graves.samples(fingerprint), bounds.MAX_SAMPLES),
  })
  deaths.count_waste(job.id)
end

-- A job that was redriven has ended: its group counts how, and is told no more.
local function follow_redrive(job)
  local following = graves.following(job.id)
  if not following.fingerprint then return end
  local group = graves.group(following.fingerprint)
  if group and job.state == 'succeeded' then
    graves.put_group(deaths.recovered(group, step.now_ms))
  elseif group and job.state == 'dead' then
    graves.put_group(deaths.relapsed(group, step.now_ms))
  end
  graves.follow(job.id, rows.with(following, {fingerprint = none}))
end

-- A job has ended: tell the group from which it was redriven, and put it into that of its error if it is dead.
function deaths.follow_end(job, sample)
  if job.generation > 1 then follow_redrive(job) end
  if job.state == 'dead' then bury(job, sample) end
end

-- A job has another generation.
function deaths.leave_group(job, redrive_id)
  local death = graves.unbury(job.id)
  local before = graves.following(job.id) or {tokens = 0, usd_micros = 0}
  local following = {redrive_id = redrive_id, tokens = before.tokens, usd_micros = before.usd_micros}
  if death then
    graves.put_group(deaths.redriven(graves.group(death.fingerprint), step.now_ms))
    following.fingerprint = death.fingerprint
    following.tokens = following.tokens + death.tokens
    following.usd_micros = following.usd_micros + death.usd_micros
  end
  graves.follow(job.id, following)
end

-- A job is removed: nothing is left of it here.
function deaths.forget_death(job)
  if job.generation > 1 then graves.unfollow(job.id) end
  if job.state ~= 'dead' then return end
  local death = graves.unbury(job.id)
  graves.put_group(deaths.removed(graves.group(death.fingerprint), step.now_ms))
end

-- Forget at most `limit` groups in which no job has stood for long; say whether there are more. spec: DEAD-10
function deaths.forget_groups(limit)
  local since_ms = step.now_ms - bounds.DEAD_GROUP_KEPT_MS
  local found = zsets.until_('groups_at_rest', since_ms, limit + 1)
  for number = 1, math.min(limit, #found) do graves.drop_group(found[number]) end
  return #found > limit
end
