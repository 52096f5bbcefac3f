-- read: read the items of a job's stream behind a number, and the job's state of the same moment.
-- flags: allow-oom,no-writes
-- looks
-- args: id, after, limit, bytes (how many bytes of items one answer has room for)
-- returns: {state, items (how many, each two pieces of bytes: what is said of it, and its own), place (of the first),
--   more}
-- spec: STREAM-9, STORE-1, STORE-13, KEEP-5

-- How many items are read in one command.
local PAGE = 64

local job = jobs.get(args.id)
if not job then step.refuse('NotFound', {args.id}) end
local trimmed = job.chunks > 0 and items.of(args.id).trimmed or 0
if args.after < trimmed then step.refuse('Gone', {args.id, trimmed + 1}) end

local count, room, place = 0, args.bytes, nil
local wanted = math.max(0, math.min(args.limit, job.chunks - args.after))
repeat
  local first, most = digits(args.after + count + 1), math.min(PAGE, wanted - count)
  local entries = most > 0 and call('XRANGE', key('stream', args.id), first, '+', 'COUNT', most) or {}
  for _, entry in ipairs(entries) do
    if room <= 0 then break end
    local data = entry[2][4]
    room, count = room - #data, count + 1
    local at = step.hand(entry[2][2], data)
    place = place or at
  end
until #entries == 0 or room <= 0
return {state = job.state, items = count, place = place, more = args.after + count < job.chunks}
