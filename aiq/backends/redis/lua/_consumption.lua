-- consumption: what was used, by minute, model and category: of each job, flow and tenant, and of all.
--
-- `usage:OWNER` holds a row {tokens, usd_micros, unpriced, estimated} for each place (`consumption.place`). Places are
-- texts in the order of minute, model and category. But of a job, whose places are few, they stand in `usage_order:OWNER`
-- too; what is trimmed stands in `usage_kept`, in the order in which it goes: by minute, then scope, owner and line.
-- spec: USAGE-1, USAGE-8, KEEP-8

local NUL = '\0'
local TRIMMED = {tenant = true, all = true}

-- The name of a model and category among the lines of a step. No text has a NUL in it.
function consumption.line(model, category)
  return model .. NUL .. category
end

-- The model and category of such a name.
function consumption.split_line(line)
  return line:match('^(.*)%z(.*)$')
end

-- A minute in as many digits as any, so that texts are in the order of minutes.
function consumption.digits(minute_ms)
  return string.format('%016.0f', minute_ms)
end

-- The minute, model and category of a place.
function consumption.split(place)
  local minute, model, category = place:match('^(%d+) (.*)%z(.*)$')
  return tonumber(minute), model, category
end

-- The scope, owner and place of a member of `usage_kept`.
function consumption.split_kept(member)
  local minute, scope, owner, line = member:match('^(%d+) (%a+)%z([^%z]*)%z(.*)$')
  return scope, owner, minute .. ' ' .. line
end

local function owner_of(scope, owner)
  return scope .. ':' .. (scope == 'tenant' and redis.sha1hex(owner) or owner)
end

local function kept(scope, owner, minute_ms, line)
  return table.concat({consumption.digits(minute_ms) .. ' ' .. scope, owner, line}, NUL)
end

-- Count use under one name in a minute. `more` is a Counted by line; corrections may be below zero.
function consumption.add(scope, owner, minute_ms, more)
  local name = owner_of(scope, owner)
  local rows_of, places, minute = 'usage:' .. name, {}, consumption.digits(minute_ms)
  for line in pairs(more) do places[#places + 1] = minute .. ' ' .. line end
  rows.fetch(rows_of, places)
  for line, counted in pairs(more) do
    local place = minute .. ' ' .. line
    local old = rows.get(rows_of, place)
    if not old then
      if scope ~= 'job' then zsets.put('usage_order:' .. name, place, 0) end
      if TRIMMED[scope] then zsets.put('usage_kept', kept(scope, owner, minute_ms, line), 0) end
    end
    old = old or {0, 0, 0, 0}
    rows.put(rows_of, place, {
      old[1] + (counted.tokens or 0), old[2] + (counted.usd_micros or 0),
      old[3] + (counted.unpriced or 0), old[4] + (counted.estimated or 0),
    })
  end
end

-- Write what was used under a name in a minute, as it was counted elsewhere: {tokens, usd_micros, unpriced, estimated}.
function consumption.put(scope, owner, minute_ms, line, figures)
  local old = consumption.row(scope, owner, consumption.digits(minute_ms) .. ' ' .. line) or {0, 0, 0, 0}
  consumption.add(scope, owner, minute_ms, {[line] = {
    tokens = figures[1] - old[1], usd_micros = figures[2] - old[2], unpriced = figures[3] - old[3],
    estimated = figures[4] - old[4],
  }})
end

-- What was used under a name, {tokens, usd_micros, unpriced, estimated} by place; for names with few places.
function consumption.all(scope, owner)
  return rows.all('usage:' .. owner_of(scope, owner))
end

local function of_job(name, low, high, after)
  local found = {}
  for place in pairs(rows.all('usage:' .. name)) do
    local fits = not order.less(place, low) and order.less(place, high)
    if fits and (not after or order.less(after, place)) then found[#found + 1] = place end
  end
  return order.sorted(found)
end

-- What was used under a name at a place.
function consumption.row(scope, owner, place)
  return rows.get('usage:' .. owner_of(scope, owner), place)
end

-- At most `most` places of a name, in their order, with their rows: of minutes from `since_ms` on and before `until_ms`,
-- behind the place `after`; each of the three may be nil.
function consumption.page(scope, owner, since_ms, until_ms, after, most)
  local name = owner_of(scope, owner)
  local low, high = since_ms and consumption.digits(since_ms) or '', until_ms and consumption.digits(until_ms) or ':'
  local places
  if scope == 'job' then
    places = of_job(name, low, high, after)
  else
    local from = after and not order.less(after, low) and '(' .. after or '[' .. low
    places = zsets.read('ZRANGE', 'usage_order:' .. name, from, '(' .. high, 'BYLEX', 'LIMIT', 0, most)
  end
  local found = {}
  for place = 1, math.min(most, #places) do found[place] = places[place] end
  rows.fetch('usage:' .. name, found)
  local rows_found = {}
  for place, id in ipairs(found) do rows_found[place] = rows.get('usage:' .. name, id) end
  return found, rows_found
end

-- Forget what was used under a name.
function consumption.forget(scope, owner)
  local name = owner_of(scope, owner)
  rows.empty('usage:' .. name)
  if scope ~= 'job' then call('DEL', key('usage_order', name)) end
end

-- Remove a member of `usage_kept` with its row.
function consumption.trim(member)
  local scope, owner, place = consumption.split_kept(member)
  local name = owner_of(scope, owner)
  rows.drop('usage:' .. name, place)
  zsets.drop('usage_order:' .. name, place)
  zsets.drop('usage_kept', member)
end
