-- standing: which limits bind a job, what is left of each now, and how long it lasts until there is room.
--
-- As aiq/rules/standing.py. A bound is {spec, key}; a room {bound, wait_ms}, whose time is nil until it is told; the
-- needs of those who go first are {requests, charge, rest, units}. A call that waits has its needs by `books.place`.
-- spec: chapter 10

-- What the limits of a queue's own settings begin with; no other name can.
standing.QUEUE = 'queue:'

-- Whose part of a limit a job takes; nil when the limit does not bind it. spec: LIMIT-15, LIMIT-16
function standing.key_of(spec, record)
  if spec.by == 'tenant' then return record.tenant ~= '' and record.tenant or nil end
  if spec.by == 'key' then return record.key end
  return ''
end

-- Those of some limits that are stored and bind a job.
function standing.named(record, names)
  local found = {}
  if #names > 1 then rows.fetch('limits', names) end
  for _, name in ipairs(names) do
    local spec = books.limit(name)
    local part = spec and standing.key_of(spec, record)
    if part then found[#found + 1] = {spec = spec, key = part} end
  end
  return found
end

-- The limits that a job takes when it starts: its own, and those of its queue's settings. spec: QUEUE-2
function standing.of_job(record)
  local names = jobs.taken_limits(record)
  if books.queue_limited(record.queue) then
    names = {unpack(names)}
    names[#names + 1] = standing.QUEUE .. record.queue
  end
  return standing.named(record, names)
end

-- What is left of a limit now.
function standing.state_of(bound)
  local stored = books.limit_state(bound.spec.name, bound.key)
  if not stored then return limits.opening(bound.spec, step.now_ms) end
  return limits.refilled(bound.spec, stored, step.now_ms)
end

-- The calls of a line that go first: before a place in it, or, without a place, all of no less urgent bands.
function standing.before(waiting, band, number)
  local found = {}
  for _, one in ipairs(waiting) do
    local first = one.band < band or one.band == band and (not number or one.number < number)
    if first then found[#found + 1] = one end
  end
  return found
end

local function sum(bound, waiting)
  local place, total = books.place(bound.spec.name, bound.key), {0, 0, 0, 0}
  for _, one in ipairs(waiting) do
    for column, need in ipairs(one.limits[place]) do total[column] = total[column] + need end
  end
  return total
end

-- How long until a limit has room for a part, and a unit if one is wanted, behind these calls: 0 is now, nil is until
-- it is told. A unit that is free but kept for a call in line is free at the latest when the call has lost its place.
-- spec: CALL-5, LIMIT-5, LIMIT-9
function standing.wait_ms(bound, state, part, unit, waiting)
  local spec = bound.spec
  local ahead = #waiting > 0 and sum(bound, waiting) or nil
  if unit and spec.concurrency and state.running + (ahead and ahead[4] or 0) >= spec.concurrency then
    if state.running >= spec.concurrency then return nil end
    local asked_at_ms = math.huge
    for _, one in ipairs(waiting) do asked_at_ms = math.min(asked_at_ms, one.asked_at_ms) end
    return math.max(1, bounds.PLACE_KEPT_MS + asked_at_ms - step.now_ms)
  end
  local told_ms = limits.wait_ms(spec, state, part, ahead)
  if not told_ms or told_ms == 0 then return told_ms end
  -- After a clock was put back, nothing is refilled until it has come again to where the limit stands. spec: LIMIT-8
  return told_ms + math.max(0, state.at_ms - step.now_ms)
end

-- Whether a waiting time, nil being until it is told, is longer than another one.
local function longer(wait_ms, than_ms)
  return than_ms ~= nil and (wait_ms == nil or wait_ms > than_ms)
end

-- The limit that keeps a job the longest; nil when all have room now, the first of equals.
function standing.longest(rooms)
  local worst
  for _, room in ipairs(rooms) do
    if room.wait_ms ~= 0 and (not worst or longer(room.wait_ms, worst.wait_ms)) then worst = room end
  end
  return worst
end

-- Whether all units of a concurrency are taken.
function standing.full(spec, state)
  return spec.concurrency ~= nil and state.running >= spec.concurrency
end

-- Whether some need waits less for the new state than for the old one, at the same instant.
function standing.roomier(old, new)
  return new.tokens > old.tokens
    or new.tokens - new.held > old.tokens - old.held
    or new.requests > old.requests
    or new.running < old.running
end

-- Write what is left of a limit, and say so when that lets others go on. spec: POOL-1
function standing.put(bound, old, new)
  local spec = bound.spec
  books.put_limit_state(spec.name, bound.key, new)
  if not standing.roomier(old, new) then return end
  -- Of a queue's own bound nobody waits for the rate to be given back, nor for a unit while one is free.
  if standing.full(spec, old) or spec.name:sub(1, #standing.QUEUE) ~= standing.QUEUE then
    books.freed(spec.name, bound.key)
  end
end

-- Whether a queue runs as many jobs as its settings allow. spec: QUEUE-3
function standing.full_queue(queue)
  if not books.queue_limited(queue) then return false end
  local spec = books.limit(standing.QUEUE .. queue)
  local state = spec and books.limit_state(spec.name, '')
  return state ~= nil and standing.full(spec, state)
end
