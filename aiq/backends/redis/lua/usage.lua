-- usage: read what was used, by minute, model and category.
-- flags: allow-oom,no-writes
-- looks
-- args: scope, owner, since_ms, until_ms, after ({minute_ms, model, category}, behind which to begin; these may be nil),
--   limit
-- returns: at most limit + 1 of {minute_ms, model, category, tokens, usd_micros, unpriced, estimated}
-- spec: USAGE-8
local after = args.after
if after then after = consumption.digits(after[1]) .. ' ' .. consumption.line(after[2], after[3]) end
local places, used = consumption.page(args.scope, args.owner, args.since_ms, args.until_ms, after, args.limit + 1)
local found = {}
for index, place in ipairs(places) do
  local minute_ms, model, category = consumption.split(place)
  found[index] = {minute_ms, model, category, unpack(used[index])}
end
return found
