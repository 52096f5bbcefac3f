-- metrics: read minutes in the order of (minute, queue, task), and none but those that are asked for.
-- looks
-- flags: allow-oom,no-writes
-- args: first (a minute, behind or at which to begin: '(' or '[' and its id as in `events.minute`, or '-'), queue, task
-- (nil: all), limit, looked (how many minutes this step may look at)
-- returns: minutes (lists of id and figures), last (the id of the last one looked at, if there may be more)
-- spec: METRIC-4
local ids = call('ZRANGEBYLEX', key('minutes_in_order'), args.first, '+', 'LIMIT', 0, args.looked)
local wanted = {}
for _, id in ipairs(ids) do
  local queue, task = id:match('^%d+ (%S+) (%S+)$')
  if (not args.queue or queue == args.queue) and (not args.task or task == args.task) then wanted[#wanted + 1] = id end
  if #wanted == args.limit then break end
end
rows.fetch('minutes', wanted)
local found = {}
for place, id in ipairs(wanted) do found[place] = {id, rows.get('minutes', id)} end
return {minutes = found, last = #ids == args.looked and ids[#ids] or nil}
