-- schedules: what a storage decides about schedules, by integers alone. Which slots there are is nothing that it knows.
--
-- A status is a row with the fields of ScheduleStatus, its spec and template with their defaults (`calendar`). The
-- bytes of a template are apart: `spec.template.payload` is the place of bytes of the call, and of no stored status.
-- spec: chapter 15

-- What says when a schedule fires: a change of it makes the next slot unknown.
local TIMES = {'cron', 'tz', 'every_ms', 'anchor_ms', 'after_ms', 'start_ms', 'end_ms', 'max_fires'}

-- From when on somebody has to plan or fire a schedule; nil while nobody has to.
function schedules.due_ms(status)
  if status.paused or status.phase == 'waiting' or status.phase == 'over' then return nil end
  return status.phase == 'unplanned' and 0 or status.next_ms
end

-- The job for whose end it waits, or nil.
function schedules.awaited(status)
  return status.phase == 'waiting' and status.last_job_id or nil
end

-- A schedule as it stands once it is put: its status, or the one that stands. `same_bytes` says whether the templates of
-- both have the same bytes. spec: SCHED-2, SCHED-3, SCHED-4, SCHED-29
function schedules.put(standing_, spec, absent_only, same_bytes)
  if not standing_ then
    return setmetatable({spec = spec, revision = 1, paused = spec.paused}, defaults.ScheduleStatus)
  end
  if absent_only then return standing_ end
  if schedules.says_same(standing_.spec, spec, same_bytes) then
    return same_bytes and standing_ or rows.with(standing_, {spec = spec})
  end
  local changed = rows.with(standing_, {spec = spec, revision = standing_.revision + 1, error = none})
  for _, name in ipairs(TIMES) do
    if standing_.spec[name] ~= spec[name] then return rows.with(changed, {phase = 'unplanned', next_ms = none}) end
  end
  return changed
end

-- Whether what was put is new or says something else, so that its job is looked at. spec: SCHED-27
function schedules.is_other(before, after)
  return not before or after.revision > before.revision
end

-- Whether two schedules say the same. Codecs may make other bytes of one content, whose digest tells. spec: SCHED-2
function schedules.says_same(standing_, spec, same_bytes)
  local old, new = standing_.template, spec.template
  if not same_bytes and (new.digest == '' or new.digest ~= old.digest) then return false end
  local told = rows.with(spec, {template = rows.with(new, {payload = old.payload or none})})
  return rows.same(standing_, told)
end

-- A schedule that fires nothing until it is resumed. spec: SCHED-17
function schedules.paused(status)
  return rows.with(status, {paused = true})
end

-- A schedule that goes on: slots that came while it was paused are passed over. spec: SCHED-17
function schedules.resumed(status)
  if not status.paused or status.phase ~= 'planned' or status.spec.after_ms then
    return rows.with(status, {paused = false})
  end
  return rows.with(status, {paused = false, phase = 'unplanned', next_ms = none})
end

-- Whether a fire is the last one that took effect, sent again. spec: SCHED-8
function schedules.is_repeat(status, fire)
  if not status or status.revision ~= fire.revision then return false end
  if not fire.slot_ms then
    return (status.phase == 'planned' or status.phase == 'over') and status.next_ms == fire.next_ms
  end
  return status.passed_ms == fire.passed_ms
end

-- Whether a fire was computed from something else than what stands, or is not due. spec: SCHED-7, SCHED-10
function schedules.is_stale(status, fire, now_ms)
  if not status or status.revision ~= fire.revision or status.paused then return true end
  if fire.next_ms and fire.next_ms <= status.passed_ms then return true end
  if not fire.slot_ms then return status.phase ~= 'unplanned' end
  return status.phase ~= 'planned' or status.next_ms ~= fire.slot_ms or now_ms < fire.passed_ms
end

-- Those of the jobs of a fire that are made. `busy` says that the last job has not ended.
-- spec: SCHED-11, SCHED-12, SCHED-13, SCHED-14
function schedules.jobs_to_make(status, jobs_, busy)
  local most, first = #jobs_, 1
  if status.spec.overlap == 'cancel' then first = math.max(1, #jobs_) end
  if status.spec.overlap == 'skip' then most = busy and 0 or 1 end
  local left = status.spec.max_fires and math.max(0, status.spec.max_fires - status.fires) or most
  local made = {}
  for place = first, math.min(#jobs_, first + math.min(most, left) - 1) do made[#made + 1] = jobs_[place] end
  return made
end

local function is_spent(status)
  return status.spec.max_fires ~= nil and status.fires >= status.spec.max_fires
end

-- A schedule whose next slot is known, or that has none. spec: SCHED-5, SCHED-14
local function planned(status, next_ms)
  if not next_ms or is_spent(status) then return rows.with(status, {phase = 'over', next_ms = none}) end
  return rows.with(status, {phase = 'planned', next_ms = next_ms})
end

local function waiting(status)
  return rows.with(status, {phase = is_spent(status) and 'over' or 'waiting', next_ms = none})
end

-- A schedule after a fire that made jobs of these ids. `ended_` says that its last job has. spec: SCHED-7
function schedules.fired(status, fire, made, now_ms, ended_)
  local after = rows.with(status, {
    passed_ms = math.max(status.passed_ms, fire.passed_ms),
    fires = status.fires + #made,
    skipped = status.skipped + fire.skipped + #fire.jobs - #made,
    refused = status.refused + fire.refused,
    error = fire.error ~= '' and fire.error or none,
  })
  if #made > 0 then after.last_job_id, after.last_fired_ms = made[#made], now_ms end
  if not fire.next_ms and fire.slot_ms and status.spec.after_ms then
    return ended_ and schedules.job_ended(after, now_ms) or waiting(after)
  end
  return planned(after, fire.next_ms)
end

-- A schedule after a job was made beside its slots. spec: SCHED-18
function schedules.ran(status, job_id, now_ms, ended_)
  local after = rows.with(status, {last_job_id = job_id, last_fired_ms = now_ms})
  local counts = status.spec.after_ms and (status.phase == 'planned' or status.phase == 'waiting')
  return counts and not ended_ and waiting(after) or after
end

-- Refuse to make a job beside the slots of a schedule that is not stored, or whose last job must end first.
-- spec: SCHED-18
function schedules.check_free(status, name, busy)
  if not status then step.refuse('NotFound', {name, 'No schedule "' .. name .. '" is stored here.'}) end
  if not busy or status.spec.overlap ~= 'skip' then return end
  local text = 'The last job of schedule "' .. name .. '", ' .. status.last_job_id .. ', has not ended, and they do not '
    .. 'overlap. Wait for its end, or cancel it.'
  step.refuse('Conflict', {message = text, reason = 'overlap'})
end

-- A schedule whose last job has just ended: its next slot counts from now. spec: SCHED-15
function schedules.job_ended(status, now_ms)
  local slot_ms = math.max(now_ms + (status.spec.after_ms or 0), status.passed_ms + 1)
  local end_ms = status.spec.end_ms or bounds.MAX_SLOT_MS
  return planned(status, slot_ms < end_ms and slot_ms or nil)
end

-- A job has ended: the next slots of schedules that wait for it count from now. spec: SCHED-15
function schedules.follow_end(job_id)
  for _, name in ipairs(calendar.waiting_for(job_id)) do
    calendar.put(schedules.job_ended(calendar.get(name), step.now_ms))
  end
end
