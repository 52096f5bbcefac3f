-- put_schedules: store schedules by name, all of them or none.
-- flags: allow-oom
-- args: schedules (ScheduleSpec, the template's payload being a place of bytes), jobs (what each makes, as enqueue takes
--   it), absent_only
-- bytes: the payload of each template
-- returns: for each {status, the place of the bytes of its template}
-- spec: SCHED-1, SCHED-2, SCHED-3, SCHED-4, SCHED-27, SCHED-29
local standing_, changed, others, answers, names = {}, {}, {}, {}, {}

-- The bytes of a template: of the call, or stored.
local function bytes(status)
  local place = status.spec.template.payload
  return place and step.blob(place) or calendar.payload(status.spec.name)
end

for place, spec in ipairs(args.schedules) do names[place] = spec.name end
rows.fetch('schedules', names)
for place, spec in ipairs(args.schedules) do
  calendar.shaped(spec)
  local before = standing_[spec.name] or calendar.get(spec.name)
  local same_bytes = before ~= nil and bytes(before) == step.blob(spec.template.payload)
  local after = schedules.put(before, spec, args.absent_only, same_bytes)
  if after ~= before then
    if not standing_[spec.name] then changed[#changed + 1] = spec.name end
    standing_[spec.name] = after
  end
  if schedules.is_other(before, after) then others[#others + 1] = place end
  answers[place] = {after, step.hand(bytes(after))}
end
for _, place in ipairs(others) do storing.check_for_ever(jobs.new(args.jobs[place])) end
for _, name in ipairs(changed) do calendar.put(standing_[name]) end
return answers
