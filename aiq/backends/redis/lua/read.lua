-- read: read of the streams of jobs the items behind a number, and the jobs' states of the same moment.
-- flags: allow-oom,no-writes
-- looks
-- args: ids (strings), afters (of each the number), limit (how many items one page has at most)
-- returns: for each {state, items (how many, each two pieces of bytes: what is said of it, and its own), place (of the
--   first), more}, or {refused, detail}
-- spec: STREAM-9, STREAM-15, STORE-1, STORE-13, KEEP-5

-- How many items are read in one command.
local PAGE = 64

-- How many bytes of items there is still room for.
local room = bounds.MAX_PAGE_BYTES

-- How many items behind a number a page could have, or why there is none.
local function behind(id, after)
  local job = jobs.get(id)
  if not job then return 0, {refused = 'NotFound', detail = {id}} end
  local trimmed = job.chunks > 0 and items.of(id).trimmed or 0
  if after < trimmed then return 0, {refused = 'Gone', detail = {id, trimmed + 1}} end
  return math.max(0, math.min(args.limit, job.chunks - after))
end

-- How many items go into each page, of those that could: together they have bounds, which are shared out evenly.
local function lengths(wanted)
  local order, found, left, sum = {}, {}, bounds.MAX_PAGE, 0
  for place = 1, #wanted do order[place], sum = place, sum + wanted[place] end
  if sum <= left then return wanted end
  table.sort(order, function(one, other)
    if wanted[one] ~= wanted[other] then return wanted[one] < wanted[other] end
    return one < other
  end)
  for shared, place in ipairs(order) do
    found[place] = math.min(wanted[place], math.floor(left / (#order - shared + 1)))
    left = left - found[place]
  end
  return found
end

-- The first of so many items goes into a page at any rate, the others while there is room.
local function page(id, after, length)
  local count, place = 0, nil
  repeat
    local first, most = digits(after + count + 1), math.min(room > 0 and PAGE or 1, length - count)
    local entries = most > 0 and call('XRANGE', key('stream', id), first, '+', 'COUNT', most) or {}
    for _, entry in ipairs(entries) do
      if count > 0 and room <= 0 then break end
      local data = entry[2][4]
      room, count = room - #data, count + 1
      local at = step.hand(entry[2][2], data)
      place = place or at
    end
  until #entries == 0 or room <= 0
  local job = jobs.get(id)
  return {state = job.state, items = count, place = place, more = after + count < job.chunks}
end

local wanted, answers, begun = {}, {}, {}
jobs.fetch(args.ids)
for _, id in ipairs(args.ids) do
  local job = jobs.get(id)
  if job and job.chunks > 0 then begun[#begun + 1] = id end
end
rows.fetch('streams', begun)
for place, id in ipairs(args.ids) do wanted[place], answers[place] = behind(id, args.afters[place]) end
local most = lengths(wanted)
for place, id in ipairs(args.ids) do answers[place] = answers[place] or page(id, args.afters[place], most[place]) end
return answers
