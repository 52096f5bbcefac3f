-- explain: say why a job does not run, in one gate.
-- flags: allow-oom
-- looks
-- args: id
-- returns: {gate, name, text, opens_in_ms, quoted}: a NUL in the text stands for `quoted`, as Python quotes it
-- spec: WHY-1

-- The first dependency that has not ended, of a job that has never run. There are at most MAX_DEPENDENCIES.
local function upstream_of(record)
  if record.fence ~= 0 then return nil end
  local ids = record.depends_on
  for first = 1, #ids, bounds.MAX_PAGE do
    local some = {unpack(ids, first, math.min(first + bounds.MAX_PAGE - 1, #ids))}
    jobs.fetch(some)
    for _, id in ipairs(some) do
      local job = jobs.get(id)
      if job and not jobs.terminal(job) then return id end
    end
  end
  return nil
end

local function calls_of(record)
  local found = {}
  for _, number in ipairs(books.waiting_calls(record.id, record.fence)) do
    found[#found + 1] = books.waiting_call(record.id, record.fence, number)
  end
  return found
end

-- How the key of a job stands that is in no lane for it. spec: KEY-15
local function key_line(record)
  if not jobs.ordered(record) or not keys.aside(record.id) then return nil end
  local spot = keys.spot_of(record)
  local state = keys.state(spot)
  local stands = keys.of(record.id).stand == keys.LINE
  return {
    paused = state.paused,
    holder = keys.first_holder(spot),
    holders = state.holders,
    first = keys.first(spot, 1)[1] or '',
    before = stands and math.min(keys.before(spot, record.id), bounds.MAX_PAGE) or 0,
  }
end

local function ready(record)
  local pool = fairness.pool(record)
  local spot, gate = lanes.line_of(record, pool), gates.of(record)
  local row = gate and gates.get(gate[1], gate[2])
  return {
    record = record,
    paused = rows.get('paused', record.queue) ~= nil,
    key = key_line(record),
    aside = row and {limit = row.limit, key = row.key, wake_at_ms = row.wake_at_ms},
    pool = lanes.pool(record.queue, pool),
    line = lanes.line(record.queue, spot),
    before = math.min(whereabouts.before(spot, record), bounds.MAX_PAGE),
    urgent = math.min(whereabouts.urgent(record.queue, record.band), bounds.MAX_PAGE),
    others = math.min(whereabouts.less_served(spot), bounds.MAX_PAGE),
  }
end

local function facts_of(record)
  local state, held = record.state, holding.hold_of(record.id)
  if state == 'ready' then return ready(record) end
  return {
    record = record,
    upstream = state == 'waiting' and upstream_of(record) or nil,
    signal = record.awaits or '',
    calls = state == 'running' and calls_of(record) or {},
    need = held and held.need or {},
  }
end

local record = jobs.get(args.id)
if not record then step.refuse('NotFound', {args.id}) end
return explaining.why(facts_of(record))
