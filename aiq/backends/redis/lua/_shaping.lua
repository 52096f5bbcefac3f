-- shaping: what is left of a limit whose numbers change goes along.
--
-- A limit that goes by tenants or keys may have any number of parts. One with more of them than a step may change has its
-- new numbers at once, and its parts follow in later steps, in their order. As long as they do, a row of `reshapes` by its name
-- is {spec, its old numbers, at_ms, when they changed, after, the last part that has followed}, and its name is in the
-- sorted set `reshaping`. A part whose turn is still to come is stored in old numbers, and read in the new ones; one that
-- is written before its turn stands in `shaped:NAME` from then on. The counter `reshapes` is how many such limits there are.
-- spec: LIMIT-1, LIMIT-2, LIMIT-3, LIMIT-13

-- How many parts a limit has.
function shaping.many(name)
  return zsets.read('ZCARD', 'limit_parts:' .. name)
end

local function change_of(name)
  local change = counters.get('reshapes') > 0 and rows.get('reshapes', name)
  if change then setmetatable(change.spec, defaults.LimitSpec) end
  return change
end

-- Whether parts of a limit still follow its last change.
function shaping.goes_on(name)
  return change_of(name) and true or false
end

local function has_followed(change, name, part)
  return not order.less(change.after, part) or zsets.score('shaped:' .. name, part) ~= nil
end

-- What is left of a part, as it is stored, in the numbers that its limit has.
function shaping.current(name, part, stored)
  local change = change_of(name)
  if not change or has_followed(change, name, part) then return stored end
  return limits.reshaped(change.spec, books.limit(name), stored, change.at_ms, true)
end

-- A part is written in the numbers that its limit has.
function shaping.note(name, part)
  local change = change_of(name)
  if change and order.less(change.after, part) then zsets.put('shaped:' .. name, part, 0) end
end

-- The next parts of a limit, at most so many, and whether there are more behind them.
local function next_parts(name, after, most)
  local from = after == '' and '-' or '(' .. after
  local parts, places = zsets.read('ZRANGEBYLEX', 'limit_parts:' .. name, from, '+', 'LIMIT', 0, most + 1), {}
  local more = #parts > most
  if more then parts[#parts] = nil end
  for place, part in ipairs(parts) do places[place] = books.place(name, part) end
  rows.fetch('limit_states', places)
  return parts, more
end

-- Refuse new numbers for a limit in which one of its parts behind `after` could not be counted. So many are looked at; the
-- answer is the last of them, nil where there are no more.
function shaping.look(new, after)
  local old = books.limit(new.name)
  if not old then return nil end
  local parts, more = next_parts(new.name, after, bounds.MAX_LOOKED)
  for _, part in ipairs(parts) do
    limits.reshaped(old, new, books.limit_state(new.name, part), step.now_ms)
  end
  return more and parts[#parts] or nil
end

-- What is left of a limit once its numbers have changed: a list of {part, state}. Writes nothing. Of one whose parts follow
-- it is only what belongs to nobody (of a 429 that named nobody).
function shaping.reshape(old, new, parts_follow)
  local parts, places, found = parts_follow and {''} or books.parts(old.name, bounds.MAX_SWEEP + 1), {}, {}
  for place, part in ipairs(parts) do places[place] = books.place(old.name, part) end
  rows.fetch('limit_states', places)
  for _, part in ipairs(parts) do
    local state = books.limit_state(old.name, part)
    if state then found[#found + 1] = {part, limits.reshaped(old, new, state, step.now_ms)} end
  end
  return found
end

-- Write what is left of a limit, and wake those who may have room now.
function shaping.put_parts(name, parts)
  for _, one in ipairs(parts) do
    books.put_limit_state(name, one[1], one[2])
    books.freed(name, one[1])
  end
end

-- Let the parts of a limit that gets new numbers follow from now on.
function shaping.begin(old)
  rows.put('reshapes', old.name, {spec = old, at_ms = step.now_ms, after = ''})
  zsets.put('reshaping', old.name, 0)
  counters.raise('reshapes')
end

local function finish(name)
  zsets.settle('shaped:' .. name)
  call('UNLINK', key('shaped', name))
  rows.drop('reshapes', name)
  zsets.drop('reshaping', name)
  counters.raise('reshapes', -1)
end

-- Let more parts of a limit follow, at most so many; say whether there are more.
function shaping.go_on(name, most)
  local change, found = change_of(name), {}
  if not change then return false end
  local parts, more = next_parts(name, change.after, most)
  for place, part in ipairs(parts) do found[place] = {part, books.limit_state(name, part)} end
  if more then
    rows.put('reshapes', name, rows.with(change, {after = parts[#parts]}))
  else
    finish(name)
  end
  shaping.put_parts(name, found)
  return more
end

-- Let more parts of some limit follow that nobody waits for any more; say whether there are more.
function shaping.go_on_with_any(most)
  if counters.get('reshapes') == 0 then return false end
  for _, name in ipairs(zsets.first('reshaping', 1)) do shaping.go_on(name, most) end
  return counters.get('reshapes') > 0
end
