-- fire: make the jobs of schedules that are due, and move these on. Jobs come first: one that is refused leaves nothing
-- behind.
-- args: fires (Fire, each of its jobs as enqueue takes it, the payload being a place of bytes)
-- bytes: the payload of each job
-- returns: for each {job_ids, stale, existed}, without what is nothing
-- spec: SCHED-7 to SCHED-15
local batch, counts, ids, names, answers = {}, {}, {}, {}, {}
for place, fire in ipairs(args.fires) do
  setmetatable(fire, defaults.Fire)
  names[place] = fire.name
  for _, spec in ipairs(fire.jobs) do ids[#ids + 1] = spec.id end
end
rows.fetch('schedules', names)
for _, name in ipairs(names) do
  local status = calendar.get(name)
  ids[#ids + 1] = status and status.last_job_id
end
jobs.fetch(ids)
for place, fire in ipairs(args.fires) do
  local made = firing.jobs_of(fire)
  counts[place] = made and #made
  for _, spec in ipairs(made or {}) do batch[#batch + 1] = spec end
end
local stored, at = storing.enqueue(batch), 0
for place, fire in ipairs(args.fires) do
  local made = {}
  for _ = 1, counts[place] or 0 do
    at = at + 1
    made[#made + 1] = stored[at].job_id
  end
  answers[place] = counts[place] and firing.fire(fire, made) or firing.refused(fire)
end
return answers
