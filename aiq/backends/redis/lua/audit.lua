-- audit: look for anything that a clause forbids, in one slice of the storage.
-- looks
-- flags: allow-oom
-- args: part (what to look at), cursor ('0' at first), slice (about how many rows to look at)
-- returns: violations (lists of clause, job and text), cursor ('0' when the part is done)
-- spec: STATE-3
local page, found = call('HSCAN', key(args.part), args.cursor, 'COUNT', args.slice), {}
local ids = {}
for place = 1, #page[2], 2 do ids[#ids + 1] = page[2][place] end
rows.fetch(args.part, ids)
for _, id in ipairs(ids) do
  local function tell(clause, text, job_id) found[#found + 1] = {clause, job_id or id, text} end
  audits.PARTS[args.part](id, tell)
end
return {violations = found, cursor = page[1]}
