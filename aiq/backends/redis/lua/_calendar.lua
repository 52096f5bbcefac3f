-- calendar: schedules as they stand, and where the ones are found that somebody has to fire or that wait for a job.
--
-- Tables: `schedules` by name, without the bytes of their templates, which are in the hash `templates`; `awaited` by job:
-- the names of the schedules that wait for its end. Sorted sets: `due_schedules` by the instant from which on somebody
-- has to plan or fire them, `schedule_names` in their order. Counter: waiting_schedules, those that wait for a job.
-- spec: SCHED-1, SCHED-5, SCHED-6, SCHED-15

-- Let a spec that was sent, or is stored, have its defaults.
function calendar.shaped(spec)
  setmetatable(spec.template, defaults.JobSpec)
  return setmetatable(spec, defaults.ScheduleSpec)
end

-- A schedule, or nil.
function calendar.get(name)
  local status = rows.get('schedules', name)
  if not status then return nil end
  if getmetatable(status) ~= defaults.ScheduleStatus then
    calendar.shaped(status.spec)
    setmetatable(status, defaults.ScheduleStatus)
  end
  return status
end

-- The bytes of a stored schedule's template.
function calendar.payload(name)
  return rows.bytes('templates', name) or ''
end

-- The names of the schedules that wait for the end of a job.
function calendar.waiting_for(job_id)
  if counters.get('waiting_schedules') == 0 then return {} end
  return rows.get('awaited', job_id) or {}
end

local function await(job_id, name)
  local names = {name}
  for _, one in ipairs(rows.get('awaited', job_id) or {}) do names[#names + 1] = one end
  rows.put('awaited', job_id, order.sorted(names))
  counters.raise('waiting_schedules')
end

local function let_go(job_id, name)
  local names = {}
  for _, one in ipairs(rows.get('awaited', job_id) or {}) do
    if one ~= name then names[#names + 1] = one end
  end
  if #names > 0 then rows.put('awaited', job_id, names) else rows.drop('awaited', job_id) end
  counters.raise('waiting_schedules', -1)
end

-- Keep the indexes in step with a schedule that is written (nil: removed) in the place of another one (nil: new).
local function follow(name, before, status)
  local old, new = before and schedules.due_ms(before), status and schedules.due_ms(status)
  if new and new ~= old then zsets.put('due_schedules', name, new) end
  if old and not new then zsets.drop('due_schedules', name) end
  old, new = before and schedules.awaited(before), status and schedules.awaited(status)
  if old ~= new then
    if old then let_go(old, name) end
    if new then await(new, name) end
  end
end

-- Write a schedule in the place of the one of its name. The bytes of its template come along where the spec has a place
-- of bytes of the call.
function calendar.put(status)
  local name = status.spec.name
  local before, place = calendar.get(name), status.spec.template.payload
  if not before then zsets.put('schedule_names', name, 0) end
  follow(name, before, status)
  if place then
    rows.put_bytes('templates', name, step.blob(place))
    local template = rows.with(status.spec.template, {payload = none})
    status = rows.with(status, {spec = rows.with(status.spec, {template = template})})
  end
  rows.put('schedules', name, status)
  return status
end

-- Write a schedule that comes from another storage as it stands.
function calendar.restore(status)
  calendar.shaped(status.spec)
  calendar.put(setmetatable(status, defaults.ScheduleStatus))
end

-- Take out a schedule, if it is there.
function calendar.drop(name)
  local before = calendar.get(name)
  if not before then return end
  follow(name, before, nil)
  zsets.drop('schedule_names', name)
  rows.put_bytes('templates', name, false)
  rows.drop('schedules', name)
end

-- Give a schedule to the caller as it stands: {status, the place of the bytes of its template}; false for none.
function calendar.tell(name)
  local status = calendar.get(name)
  return status and {status, step.hand(calendar.payload(name))} or false
end

-- The same of as many of some schedules as one answer has room for. spec: STORE-13
function calendar.page(names, room)
  local found = {}
  for _, name in ipairs(names) do
    if room <= 0 then break end
    if calendar.get(name) then
      room = room - rows.size('templates', name)
      found[#found + 1] = calendar.tell(name)
    end
  end
  return found
end
