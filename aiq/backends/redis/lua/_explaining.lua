-- explaining: why a job does not run: one gate, named in the same sentence by every store.
--
-- As aiq/rules/explaining.py. The facts are those of `Facts` there: `need`, `calls`, `before`, `urgent` and `others`
-- where they go with the job's state; `key` is a `KeyLine`, `aside` an `Aside`. An answer has the fields of `Why`; a NUL
-- in its text stands for a name as Python quotes it, which `quoted` is.
-- spec: WHY-1, DEADLINE-9, KEY-15

local function why(gate, name, text, opens_in_ms)
  return {gate = gate, name = name, text = text, opens_in_ms = opens_in_ms}
end

local function until_(at_ms)
  return at_ms and math.max(0, at_ms - step.now_ms)
end

local function many(number, one, more)
  local least = number >= bounds.MAX_PAGE and 'At least ' or ''
  return least .. figures.grouped(number) .. ' ' .. (number == 1 and one or more)
end

local function are(number, one, more)
  return number == 1 and (one or 'is') or more or 'are'
end

local function status(bound)
  return limits.status(bound.spec, bound.key, books.limit_state(bound.spec.name, bound.key), step.now_ms, 0)
end

local function level(left, rate, noun)
  if left < 0 then return figures.counted(-left, noun) .. ' ' .. are(-left) .. ' owed' end
  return figures.grouped(left) .. ' of ' .. figures.counted(rate, noun) .. ' ' .. are(left) .. ' left'
end

local function token_level(now, spec)
  local told = level(now.tokens_left, spec.tokens, 'token')
  if now.tokens_held == 0 then return told end
  return told .. ', ' .. figures.grouped(now.tokens_held) .. (now.tokens_left >= 0 and ' of them' or '') .. ' held'
end

-- How a limit stands now.
local function figures_of(bound)
  local spec, now, told = bound.spec, status(bound), {}
  local function tell(text) told[#told + 1] = text end
  if now.frozen_ms ~= 0 then tell('it is paused for ' .. figures.grouped(now.frozen_ms) .. ' ms') end
  if spec.requests then tell(level(now.requests_left, spec.requests, 'request')) end
  if spec.tokens then tell(token_level(now, spec)) end
  if now.debt_ms ~= 0 then tell('the debt is paid back in ' .. figures.grouped(now.debt_ms) .. ' ms') end
  if spec.concurrency then
    local taken = figures.grouped(now.running) .. ' of ' .. figures.counted(spec.concurrency, 'unit')
    tell(taken .. ' ' .. are(now.running) .. ' taken')
  end
  local sentence = table.concat(told, '; ')
  return sentence:sub(1, 1):upper() .. sentence:sub(2) .. '.'
end

-- What a queue's own settings let through. spec: QUEUE-2
local function queue_bound(bound)
  local spec, told = bound.spec, {}
  if spec.requests then
    local seconds = string.format('%g', spec.per_ms / 1000)
    told[#told + 1] = 'starts ' .. figures.counted(spec.requests, 'job') .. ' in ' .. seconds .. ' s'
  end
  if spec.concurrency then
    local running = status(bound).running
    told[#told + 1] = 'runs ' .. figures.counted(spec.concurrency, 'job') .. ' at once, and '
      .. figures.grouped(running) .. ' ' .. are(running, 'runs', 'run')
  end
  return 'Queue "' .. spec.name:sub(#standing.QUEUE + 1) .. '" ' .. table.concat(told, ', and ') .. '.'
end

-- What stands for a need that nobody declared, as a further sentence.
local function assumed(record)
  local need = planning.need_of(record, record.estimate)
  if need.declared or planning.resumes(record) then return '' end
  local said = record.estimate
  local what = (not said or not said.output and not said.max_output) and 'Nothing' or 'Not all'
  local tokens = figures.counted(need.input + need.max_output, 'token')
  return ' ' .. what .. ' was declared, so ' .. tokens .. ' are assumed.'
end

local WHOSE = {tenant = ' of tenant \0', key = ' of key \0'}

local function limited(record, gate, name, part, wake_at_ms)
  local opens_in_ms = wake_at_ms < bounds.MAX_INSTANT_MS and until_(wake_at_ms) or nil
  local spec = books.limit(name)
  if not spec then return why(gate, name, 'It waits for limit "' .. name .. '".', opens_in_ms) end
  local bound = {spec = spec, key = part}
  if name:sub(1, #standing.QUEUE) == standing.QUEUE then return why(gate, name, queue_bound(bound), opens_in_ms) end
  local more = spec.tokens and assumed(record) or ''
  local text = 'It waits for limit "' .. name .. '"' .. (WHOSE[gate] or '') .. '. ' .. figures_of(bound) .. more
  local found = why(gate, name, text, opens_in_ms)
  found.quoted = WHOSE[gate] and part
  return found
end

-- A job that a provider had no room for waits for the limits that paused with it, as far as they are its own.
local function scheduled(record)
  local opens_in_ms, errors = until_(record.due_ms), jobs.errors(record.id)
  local newest = errors[#errors]
  if not newest or newest.cause ~= 'rate_limited' then
    return why('time', nil, 'It waits for its time.', opens_in_ms)
  end
  local paused, told = {}, {'Its provider had no room, so it was given back.'}
  for _, bound in ipairs(standing.of_job(record)) do
    local frozen_ms = status(bound).frozen_ms
    if frozen_ms ~= 0 then paused[#paused + 1] = {frozen_ms = frozen_ms, name = bound.spec.name} end
  end
  if not paused[1] then return why('time', nil, told[1] .. ' It waits for its time.', opens_in_ms) end
  table.sort(paused, function(one, other)
    if one.frozen_ms ~= other.frozen_ms then return one.frozen_ms > other.frozen_ms end
    return order.less(other.name, one.name)
  end)
  for _, one in ipairs(paused) do
    told[#told + 1] = 'Limit "' .. one.name .. '" is paused for ' .. figures.grouped(one.frozen_ms) .. ' ms.'
  end
  return why('limit', paused[1].name, table.concat(told, ' '), opens_in_ms)
end

-- How long a call has to wait for one of its limits yet.
local function room_of(waiting, place)
  local name, part = books.split_place(place)
  local bound, needs = {spec = books.limit(name), key = part}, waiting.limits[place]
  local wanted = {limit = name, key = part, requests = needs[1], charge = needs[2], rest = needs[3]}
  local line = standing.before(books.waiting(name, part), waiting.band, waiting.number)
  local state = standing.state_of(bound)
  local wait_ms = standing.wait_ms(bound, state, setmetatable(wanted, defaults.Part), needs[4] > 0, line)
  return {bound = bound, wait_ms = wait_ms}
end

local function running(record, facts)
  local first
  for _, one in ipairs(facts.calls) do
    if not first or one.number < first.number then first = one end
  end
  if not first then return why('nothing', nil, 'It runs on worker "' .. (record.owner or '') .. '".') end
  local rooms, number = {}, digits(first.call)
  for _, place in ipairs(order.names(first.limits)) do rooms[#rooms + 1] = room_of(first, place) end
  local worst = standing.longest(rooms)
  if not worst then return why('call', nil, 'Its call ' .. number .. ' may be made as soon as it asks again.', 0) end
  local name = worst.bound.spec.name
  local text = 'Its call ' .. number .. ' waits for limit "' .. name .. '". ' .. figures_of(worst.bound)
  return why('call', name, text, worst.wait_ms)
end

local function waiting_(record, facts)
  if facts.upstream then
    return why('dependency', facts.upstream, 'It waits for job ' .. facts.upstream .. ' to end.')
  end
  return why('children', record.wait_key, 'It waits for ' .. many(record.pending, 'child', 'children') .. '.')
end

-- What a held job lacks of a budget.
local function short(record, facts)
  local id = record.held_by
  local spec = books.budget(id)
  if not spec then return why('budget', id, 'It is held on budget "' .. id .. '".') end
  local text = drawing.told(spec, drawing.state_of(spec), facts.need)
  if record.held == 'approval' then return why('budget', id, text .. ' It needs a grant.') end
  return why('budget', id, text, until_(budgets.window_end(spec.window, step.now_ms)))
end

local HELD = {
  budget = short,
  approval = short,
  quota = function(record)
    local text = "Every route of it is closed, since its provider's quota is used up. Let it go with `unhold`."
    return why('quota', record.held_by, text)
  end,
  price = function(record)
    local model = '"' .. record.held_by .. '"'
    local text = 'Model ' .. model .. ' has no price, and a budget counts money. Store one, and it goes on.'
    return why('price', record.held_by, text)
  end,
  size = function(record)
    local limit = '"' .. record.held_by .. '"'
    local text = 'It needs more of limit ' .. limit .. ' at once than it ever gives. Raise the limit, then use `unhold`.'
    return why('size', record.held_by, text)
  end,
  operator = function()
    return why('operator', nil, 'It is held by hand. Let it go with `unhold`.')
  end,
}

-- What keeps a job in the line of its key. spec: KEY-15
local function ordered(record, line)
  local named = 'key "' .. record.key .. '"'
  if line.paused then return 'Key "' .. record.key .. '" of queue "' .. record.queue .. '" is paused.' end
  local stands = 'It stands in the line of ' .. named
  if not line.holder then return stands .. '. Job ' .. line.first .. ' goes first, and is not ready.' end
  local more = line.holders == 1 and '' or ' and ' .. many(line.holders - 1, 'other', 'others')
  local before = line.before ~= 0 and ' ' .. many(line.before, 'job goes', 'jobs go') .. ' before it.' or ''
  return stands .. ', which job ' .. line.holder .. more .. ' ' .. are(line.holders, 'holds', 'hold') .. '.' .. before
end

-- What keeps a ready job, or all that stand with it, from being looked at; nil where nothing does.
local function set_apart(record, facts)
  local now_ms = step.now_ms
  if facts.paused then return why('pause', record.queue, 'Queue "' .. record.queue .. '" is paused.') end
  if facts.key then return why('key', record.key, ordered(record, facts.key)) end
  local aside, line, pool = facts.aside, facts.line, facts.pool
  if aside and aside.wake_at_ms > now_ms then
    return limited(record, 'key', aside.limit, aside.key, aside.wake_at_ms)
  end
  if line.wake_at_ms > now_ms then
    return limited(record, 'tenant', line.parked_by, record.tenant, line.wake_at_ms)
  end
  if pool.wake_at_ms > now_ms then return limited(record, 'limit', pool.parked_by, '', pool.wake_at_ms) end
  if standing.full_queue(record.queue) then
    return limited(record, 'limit', standing.QUEUE .. record.queue, '', bounds.MAX_INSTANT_MS)
  end
  return nil
end

local GATES = {tenant = 'tenant', key = 'key'}

-- What a ready job waits for that may be looked at: its turn, room for itself, or somebody who asks.
local function in_line(record, facts)
  if facts.before ~= 0 then
    return why('turn', nil, many(facts.before, 'job goes', 'jobs go') .. ' before it in its line.')
  end
  if facts.urgent ~= 0 then
    local text = many(facts.urgent, 'job', 'jobs') .. ' of more urgent bands stand ready in its queue.'
    return why('band', nil, text)
  end
  if facts.others ~= 0 then
    local text = many(facts.others, 'other tenant', 'other tenants') .. ' had less of their share so far.'
    return why('tenant', record.tenant, text)
  end
  local found = planning.plan(record)
  if found.takings then return why('worker', nil, 'It is next, and no worker has asked for it.') end
  if found.limit then
    local wake_at_ms = found.wait_ms and step.now_ms + found.wait_ms or bounds.MAX_INSTANT_MS
    return limited(record, GATES[found.by] or 'limit', found.limit, found.key, wake_at_ms)
  end
  if found.budget then return why('budget', found.budget.id, found.text) end
  return why(found.reason == 'size' and 'size' or 'price', found.by, found.text)
end

local function gate_of(record, facts)
  local state = record.state
  if states.TERMINAL[state] then return why('nothing', nil, 'It is ' .. state .. '.') end
  if state == 'running' then return running(record, facts) end
  if state == 'scheduled' then return scheduled(record) end
  if state == 'waiting' then return waiting_(record, facts) end
  if state == 'suspended' then
    local text = 'It waits for the signal "' .. facts.signal .. '".'
    return why('signal', facts.signal, text, until_(record.due_ms))
  end
  if state == 'held' then return HELD[record.held or 'operator'](record, facts) end
  return set_apart(record, facts) or in_line(record, facts)
end

-- Name the one gate that a job waits for, and by when it must have passed it. Reads only.
function explaining.why(facts)
  local record = facts.record
  local found = gate_of(record, facts)
  if not record.deadline_ms or states.TERMINAL[record.state] then return found end
  local left_ms = record.deadline_ms - step.now_ms
  local told = left_ms > 0 and 'is in ' .. figures.grouped(left_ms) .. ' ms' or 'has passed'
  found.text = found.text .. ' Its deadline ' .. told .. '.'
  return found
end
