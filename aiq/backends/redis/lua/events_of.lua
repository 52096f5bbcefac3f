-- events_of: read the events of a job behind a number.
-- looks
-- flags: allow-oom
-- args: id, after, limit, storage_id (what the id of the storage shall be if it has none yet)
-- returns: storage_id, events (as `log.told`)
-- spec: EVENT-6
local job = jobs.get(args.id)
if not job then step.refuse('NotFound', {args.id}) end
local _, kept = log.numbers_of(job, 1, 0)
-- The events of a job are numbered without a gap, and the last is that of its record.
local before, found = job.events - kept, {}
local first = math.max(1, args.after - before + 1)
for place, number in ipairs((log.numbers_of(job, first, first + args.limit - 1))) do
  found[place] = {number, log.event(number)}
end
return {storage_id = log.storage_id(args.storage_id), events = log.told(found)}
