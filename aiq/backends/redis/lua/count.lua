-- count: how many jobs stand where.
-- flags: allow-oom,no-writes
-- looks
-- args: queue (string or nil), states
-- returns: a list of {queue, state, jobs}; what is not there is not named
-- spec: STATE-3
local found = {}

local function tell(queue, state, number)
  if number and queue ~= counters.ALL then found[#found + 1] = {queue, state, number} end
end

if args.queue then
  for _, state in ipairs(args.states) do tell(args.queue, state, rows.get('counts', args.queue .. ' ' .. state)) end
else
  -- As large as the answer: one row for each queue and state in which a job stands.
  for id, number in pairs(rows.all('counts')) do
    local queue, state = id:match('^(.+) (.+)$')
    tell(queue, state, number)
  end
end
return found
