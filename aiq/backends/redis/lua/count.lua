-- count: how many jobs stand where.
-- flags: allow-oom,no-writes
-- looks
-- args: queue (string or nil)
-- returns: a list of {queue, state, jobs}; what is not there is not named
-- spec: STATE-3
local found = {}
for id, number in pairs(rows.all('counts')) do
  local queue, state = id:match('^(.+) (.+)$')
  if not args.queue or queue == args.queue then found[#found + 1] = {queue, state, number} end
end
return found
