-- editing: changing a job that does not run (T19). It keeps its position, so that it stands between the same others.
--
-- An edit is a map with the fields of `Edit`; the `payload` of its content is the place of the bytes.
-- spec: EDIT-1, EDIT-2, EDIT-3, EDIT-4

local EDITABLE = {scheduled = true, ready = true, waiting = true, held = true}
-- Where a job that has not run has an instant before which it does not.
local TO_BEGIN = {scheduled = true, ready = true, waiting = true}

local function refuse(job, why)
  local told = 'Job ' .. job.id .. ' is ' .. job.state .. '; ' .. why .. '.'
  step.refuse('Conflict', {message = told, reason = 'state'})
end

local function with_content(job, content)
  if job.task ~= content.task then
    local told = 'Job ' .. job.id .. ' is of task ' .. job.task .. '; arguments of ' .. content.task .. ' do not fit it.'
    step.refuse('Conflict', {message = told, reason = 'task'})
  end
  if jobs.payload(job.id) == step.blob(content.payload) and rows.same(job.estimate, content.estimate) then return job end
  if job.fence > 0 then
    refuse(job, 'it has run, so its payload stays: cancel it, and redrive it with another one')
  end
  return rows.with(job, {estimate = content.estimate or none})
end

-- A job that is not to start before an instant, in the state in which that leaves it. spec: EDIT-3, EDIT-4
function editing.due_at(job, at_ms, now_ms)
  local ahead = at_ms > now_ms
  if job.state == 'ready' and not ahead then return job end
  local moved = rows.with(job, {delay_ms = none, at_ms = at_ms})
  if job.state == 'waiting' then return moved end
  return rows.with(moved, {state = ahead and 'scheduled' or 'ready', due_ms = ahead and at_ms or none})
end

-- A job as an edit leaves it, in the state in which that leaves it. Refused are one that runs, waits for a signal or has
-- ended; one that has run, and whose payload is to be changed; one that has no instant that could be changed; and the
-- content of another task. spec: EDIT-1 to EDIT-4
function editing.edited(job, edit, now_ms)
  if not EDITABLE[job.state] then refuse(job, 'only one that waits to run can be changed') end
  local after = edit.band and rows.with(job, {band = edit.band}) or job
  if edit.content then after = with_content(after, edit.content) end
  if not edit.at_ms and not edit.delay_ms then return after end
  if job.state ~= 'scheduled' and (job.fence > 0 or not TO_BEGIN[job.state]) then
    refuse(job, 'it has no instant that could be moved')
  end
  return editing.due_at(after, edit.at_ms or now_ms + edit.delay_ms, now_ms)
end

-- Write a job as it was edited. spec: EDIT-2, EDIT-3
function editing.edit_job(before, after)
  step.wake('queue:' .. after.queue)
  if after.state ~= before.state then
    transition.move('T19', before, after)
    return
  end
  local edited = rows.with(after, {events = before.events + 1})
  events.log('T19', before, edited)
  local in_another_line = before.band ~= edited.band or fairness.pool(before) ~= fairness.pool(edited)
  jobs.put(before, edited)
  if edited.state == 'ready' and in_another_line then transition.begin_patience(edited) end
  step.wake_job(edited.id)
end
