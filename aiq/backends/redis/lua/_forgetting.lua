-- forgetting: what nobody needs any more, so that nothing of admission grows for ever.
--
-- Each kind is looked at from its oldest on. What must be kept for once is looked at again when as much time has passed.
-- spec: TIME-8

local function since_ms()
  return step.now_ms - bounds.RESERVATION_KEPT_MS
end

-- At most `limit` members of a sorted set that were last touched long enough ago, the oldest first, and whether there
-- are more.
local function untouched(name, limit)
  local found = zsets.until_(name, since_ms(), limit + 1)
  local more = #found > limit
  if more then found[#found] = nil end
  return found, more
end

-- Forget calls that have been closed for so long that nobody corrects them any more. spec: CALL-13
local function forget_reservations(limit)
  local found, more = untouched('closed_calls', limit)
  for _, id in ipairs(found) do books.drop_reservation(id) end
  return more
end

-- Forget what is left of limits for tenants and keys that make no use of it. spec: LIMIT-17
local function forget_parts(limit)
  local found, more = untouched('touched_parts', limit)
  for _, place in ipairs(found) do
    local name, part = books.split_place(place)
    if limits.at_rest(books.limit(name), books.limit_state(name, part), step.now_ms) then
      books.drop_limit_state(name, part)
    else
      zsets.put('touched_parts', place, step.now_ms)
    end
  end
  return more
end

-- Forget how a budget stood in a window, once what was granted in it is forgotten; say how many grants that took.
local function forget_window(budget_id, window_ms, limit)
  local name, at = books.grants(budget_id), digits(window_ms)
  local granted = call('ZRANGEBYSCORE', name, at, at, 'LIMIT', 0, limit + 1)
  local whole = #granted <= limit
  if not whole then granted[#granted] = nil end
  if #granted > 0 then call('ZREM', name, unpack(granted)) end
  if whole then books.drop_budget_state(budget_id, window_ms) end
  return #granted, whole
end

-- Forget how budgets stood in windows that are over, and first what was granted in them. spec: BUDGET-15
local function forget_windows(limit)
  local found, more = untouched('touched_windows', limit)
  local left = limit
  for _, id in ipairs(found) do
    local budget_id, window_ms = books.split_window(id)
    local held = next(books.budget_state(budget_id, window_ms).held) ~= nil
    if held or not budgets.is_over(books.budget(budget_id), window_ms, since_ms()) then
      zsets.put('touched_windows', id, step.now_ms)
    else
      local took, whole = forget_window(budget_id, window_ms, left)
      left, more = left - took, more or not whole
    end
  end
  return more
end

local function says_nothing(spot)
  local line, pool = lanes.line(spot.queue, spot), lanes.pool(spot.queue, spot.pool)
  local changed_ms = zsets.score('idle_pools', lanes.pool_spot(spot.queue, spot.pool))
  local busy = #lanes.bands(spot.queue, spot.pool) > 0
  local unused = not busy and (not changed_ms or changed_ms <= since_ms())
  local least = lanes.least_service(spot.queue, spot.pool, spot.band)
  local same = fairness.adds_nothing(line.service, least, pool.served[spot.band + 1])
  return line.wake_at_ms <= step.now_ms and (unused or same)
end

-- Forget lines without jobs that would begin the same if nothing were kept of them. spec: FAIR-6
local function forget_lines(limit)
  local found, more = untouched('idle_lines', limit)
  for _, whole in ipairs(found) do
    local spot = lanes.spot_named(whole)
    if says_nothing(spot) then lanes.forget_line(spot) else zsets.put('idle_lines', whole, step.now_ms) end
  end
  return more
end

-- Forget pools in which nothing stands, and of which no line is left. spec: FAIR-6
local function forget_pools(limit)
  local done = 0
  for _, spot in ipairs(zsets.until_('idle_pools', since_ms(), bounds.MAX_LOOKED)) do
    local queue, name = lanes.split_pool(spot)
    if lanes.pool(queue, name).wake_at_ms <= step.now_ms and not lanes.has_lines(queue, name) then
      if done == limit then return true end
      lanes.forget_pool(queue, name)
      done = done + 1
    end
  end
  return false
end

-- Forget at most `limit` of each kind, and say whether more of any kind is to be looked at.
function forgetting.forget(limit)
  local more = forget_reservations(limit)
  more = forget_parts(limit) or more
  more = forget_windows(limit) or more
  more = forget_lines(limit) or more
  more = forget_pools(limit) or more
  return unique.forget_keys(limit) or more
end
