-- get_steps: read what a job remembers, in the order of the keys, by code point.
-- flags: allow-oom,no-writes
-- looks
-- args: id, after (a key), limit, bytes (how many bytes of values one answer has room for)
-- returns: a list of steps, the `value` of each a place
-- spec: STEP-5, STORE-13
if not jobs.get(args.id) then step.refuse('NotFound', {args.id}) end
local found, room = {}, args.bytes
local names = steps.keys(args.id, args.after, args.limit)
rows.fetch('steps:' .. args.id, names)
for _, name in ipairs(names) do
  if room <= 0 then break end
  room = room - steps.size(args.id, name)
  found[#found + 1] = steps.tell(args.id, name)
end
return found
