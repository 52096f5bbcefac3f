-- audit: look for anything that a clause forbids, in one slice of the storage.
-- looks
-- flags: allow-oom
-- args: part (what to look at), cursor ('0' at first), slice (about how many rows to look at)
-- returns: violations (lists of clause, job and text), cursor ('0' when the part is done)
-- spec: STATE-3
local page = call('HSCAN', key(args.part), args.cursor, 'COUNT', args.slice)
local ids, found = {}, {}
for place = 1, #page[2], 2 do ids[#ids + 1] = page[2][place] end
jobs.fetch(ids)
for _, id in ipairs(ids) do
  for _, one in ipairs(audits.of_job(jobs.get(id))) do found[#found + 1] = {one[1], id, one[2]} end
end
return {violations = found, cursor = page[1]}
