-- consumption: what was used, by minute, model and category: of each job, flow and tenant, and of all.
--
-- `usage:OWNER` holds a row {tokens, usd_micros, unpriced, estimated} for each place. Places are texts in the order of
-- minute, model and category. They stand in `usage_order:OWNER` too; those of a job only once it has more of them than
-- one page tells, since most have a few. Beside them a job has its sum: {tokens, usd_micros, number of places}. What is
-- trimmed stands in `usage_kept`, in the order in which it goes: by minute, then scope, owner and line.
-- spec: USAGE-1, USAGE-8, KEEP-8

local NUL = '\0'
local TRIMMED = {tenant = true, all = true}
-- The place of the sum of a job. No minute is written like this.
local SUM = 'sum'

-- What is worked out once in a step: minutes as texts, the names of owners, and the rows that the step counts in, by
-- owner and place. These alone are changed in place: each job of a batch counts in the same ones.
local minutes, owners, counting = {}, {job = {}, flow = {}, tenant = {}, all = {}}, {}

-- Jobs of which nothing is counted yet.
local unused = {}

-- The name of a model and category among the lines of a step. No text has a NUL in it.
function consumption.line(model, category)
  return model .. NUL .. category
end

-- A minute in as many digits as any, so that texts are in the order of minutes.
function consumption.digits(minute_ms)
  local found = minutes[minute_ms] or string.format('%016.0f', minute_ms)
  minutes[minute_ms] = found
  return found
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
  local found = owners[scope][owner] or scope .. ':' .. (scope == 'tenant' and redis.sha1hex(owner) or owner)
  owners[scope][owner] = found
  return found
end

local function kept(scope, owner, minute_ms, line)
  return table.concat({consumption.digits(minute_ms) .. ' ' .. scope, owner, line}, NUL)
end

-- Let the places of a job that the step found stand in their order, and those that it has added.
local function begin_order(name)
  for _, place in ipairs(call('HKEYS', key('usage:' .. name))) do
    if place ~= SUM then zsets.put('usage_order:' .. name, place, 0) end
  end
  for place in pairs(counting[name]) do
    if place ~= SUM then zsets.put('usage_order:' .. name, place, 0) end
  end
end

-- Count new places of a job, and let them stand in their order once they are many.
local function add_places(name, new)
  local sum = counting[name][SUM]
  local before = sum[3]
  sum[3] = before + #new
  if sum[3] <= bounds.MAX_PAGE then return end
  if before <= bounds.MAX_PAGE then return begin_order(name) end
  for _, place in ipairs(new) do zsets.put('usage_order:' .. name, place, 0) end
end

-- Let the step count in the rows of some lines, those that are not there yet as well.
local function begin(scope, owner, minute_ms, more)
  local name, places, lines, new = owner_of(scope, owner), {}, {}, {}
  if scope == 'job' then unused[owner] = nil end
  for line in pairs(more) do
    lines[#lines + 1], places[#places + 1] = line, consumption.digits(minute_ms) .. ' ' .. line
  end
  local asked = {unpack(places)}
  if scope == 'job' then asked[#asked + 1] = SUM end
  rows.fetch('usage:' .. name, asked)
  counting[name] = counting[name] or {}
  for number, place in ipairs(places) do
    local row = rows.get('usage:' .. name, place)
    if not row then
      new[#new + 1] = place
      if scope ~= 'job' then zsets.put('usage_order:' .. name, place, 0) end
      if TRIMMED[scope] then zsets.put('usage_kept', kept(scope, owner, minute_ms, lines[number]), 0) end
    end
    row = row or {0, 0, 0, 0}
    counting[name][place] = row
    rows.put('usage:' .. name, place, row)
  end
  if scope ~= 'job' then return end
  counting[name][SUM] = rows.get('usage:' .. name, SUM) or {0, 0, 0}
  rows.put('usage:' .. name, SUM, counting[name][SUM])
  add_places(name, new)
end

-- Count use under one name in a minute. `more` is a Counted by line; corrections may be below zero.
function consumption.add(scope, owner, minute_ms, more)
  local name, minute = owner_of(scope, owner), consumption.digits(minute_ms) .. ' '
  for line, counted in pairs(more) do
    local row = counting[name] and counting[name][minute .. line]
    if not row then
      begin(scope, owner, minute_ms, more)
      row = counting[name][minute .. line]
    end
    row[1], row[2] = row[1] + (counted.tokens or 0), row[2] + (counted.usd_micros or 0)
    if scope == 'job' then
      local sum = counting[name][SUM]
      sum[1], sum[2] = sum[1] + (counted.tokens or 0), sum[2] + (counted.usd_micros or 0)
    end
    row[3], row[4] = row[3] + (counted.unpriced or 0), row[4] + (counted.estimated or 0)
  end
end

-- Look which of some jobs have used anything yet, in one command: none of them, mostly.
function consumption.look(ids)
  local others = {}
  for place = 2, #ids do others[place - 1] = key('usage:' .. owner_of('job', ids[place])) end
  if call('EXISTS', key('usage:' .. owner_of('job', ids[1])), unpack(others)) > 0 then return end
  for _, id in ipairs(ids) do unused[id] = true end
end

-- The rows of a job that has used only this, as they are stored, by their places; nil of one with too many lines.
function consumption.first(minute_ms, lines)
  local texts, sum = {}, {0, 0, 0}
  for line, one in pairs(lines) do
    texts[consumption.digits(minute_ms) .. ' ' .. line] = cmsgpack.pack({one.tokens, one.usd_micros, one.unpriced, one.estimated})
    sum = {sum[1] + one.tokens, sum[2] + one.usd_micros, sum[3] + 1}
  end
  if sum[3] > bounds.MAX_PAGE then return nil end
  if sum[3] > 0 then texts[SUM] = cmsgpack.pack(sum) end
  return texts
end

-- Write these, if it has used nothing before; whether that has been done.
function consumption.put_first(job_id, texts)
  if not texts or not unused[job_id] then return false end
  local name = 'usage:' .. owner_of('job', job_id)
  for place, text in pairs(texts) do rows.put_text(name, place, text) end
  unused[job_id] = nil
  return true
end

-- Write what was used under a name in a minute, as it was counted elsewhere: {tokens, usd_micros, unpriced, estimated}.
function consumption.put(scope, owner, minute_ms, line, figures)
  local old = consumption.row(scope, owner, consumption.digits(minute_ms) .. ' ' .. line) or {0, 0, 0, 0}
  consumption.add(scope, owner, minute_ms, {[line] = {
    tokens = figures[1] - old[1], usd_micros = figures[2] - old[2], unpriced = figures[3] - old[3],
    estimated = figures[4] - old[4],
  }})
end

-- Whether anything was used under a name.
function consumption.any(scope, owner)
  return call('EXISTS', key('usage', owner_of(scope, owner))) == 1
end

-- The walk through what was used under a name; `visit(place, row)`.
function consumption.walk(scope, owner, visit)
  return walks.of_table('usage:' .. owner_of(scope, owner), function(place, row)
    if place ~= SUM then visit(place, row) end
  end)
end

-- The tokens and the money that a job has used in all.
function consumption.of_job(job_id)
  local sum = rows.get('usage:' .. owner_of('job', job_id), SUM) or {0, 0}
  return sum[1], sum[2]
end

-- The places of a job that has at most MAX_PAGE of them.
local function few(name, low, high, after)
  local found = {}
  for place in pairs(rows.all('usage:' .. name)) do
    local fits = not order.less(place, low) and order.less(place, high)
    if fits and place ~= SUM and (not after or order.less(after, place)) then found[#found + 1] = place end
  end
  return order.sorted(found)
end

local function is_in_order(scope, name)
  return scope ~= 'job' or (rows.get('usage:' .. name, SUM) or {0, 0, 0})[3] > bounds.MAX_PAGE
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
  if not is_in_order(scope, name) then
    places = few(name, low, high, after)
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
  counting[name] = nil
  rows.empty('usage:' .. name, key('usage_order', name))
end

-- Remove a member of `usage_kept` with its row.
function consumption.trim(member)
  local scope, owner, place = consumption.split_kept(member)
  local name = owner_of(scope, owner)
  counting[name] = nil
  rows.drop('usage:' .. name, place)
  zsets.drop('usage_order:' .. name, place)
  zsets.drop('usage_kept', member)
end
