-- zsets: sorted sets whose changes are gathered, and written in few wide commands.
--
-- What a step changes of one is written when that set is read here, or else when the step ends. So whoever reads a set
-- that is changed here reads it here too: `zsets.read` writes what is pending before.

-- Of one command: `unpack` has room for no more than 7,000 values.
local CHUNK = 3000

-- Of a set of at most 128 members, which Redis packs, each is looked at for every one that comes or goes. The one in which all
-- that runs comes and goes is not to be packed where a worker's places are about that many: it has room to spare. It takes a
-- member that is longer than any that Redis packs (`zset-max-listpack-value`; where that is set higher, this changes nothing).
local NOT_PACKED, MANY, TOO_LONG = 'leases', 24, string.rep('-', 65)

local pending = {}
-- Those that are known to be empty: they need not be read.
local empty = {}

-- Let a member stand at a score, in the place of the one that it had; at none if that is false.
function zsets.put(name, member, score)
  local changes = pending[name]
  if not changes then
    changes = {}
    pending[name] = changes
  end
  changes[member] = score
end

-- Take out a member, if it is there.
function zsets.drop(name, member)
  zsets.put(name, member, false)
end

local function send(command, name, values)
  for first = 1, #values, CHUNK * 2 do
    call(command, key(name), unpack(values, first, math.min(first + CHUNK * 2 - 1, #values)))
  end
end

local function add(name, values)
  local loosens = name == NOT_PACKED and #values >= 2 * MANY
  if loosens then call('ZADD', key(name), values[1], TOO_LONG) end
  send('ZADD', name, values)
  if loosens then call('ZREM', key(name), TOO_LONG) end
end

-- Write what is pending of a set.
function zsets.settle(name)
  local changes = pending[name]
  if not changes then return end
  pending[name], empty[name] = nil, nil
  local put, gone, last, said, text = {}, {}, 0, nil, nil
  for member, score in pairs(changes) do
    if score then
      -- Mostly all of them are at the same instant, and to write one takes longer than all else here.
      if score ~= said then said, text = score, digits(score) end
      put[last + 1], put[last + 2] = text, member
      last = last + 2
    else
      gone[#gone + 1] = member
    end
  end
  send('ZREM', name, gone)
  add(name, put)
end

-- Write what is pending of all sets.
function zsets.flush()
  local names = {}
  for name in pairs(pending) do names[#names + 1] = name end
  for _, name in ipairs(names) do zsets.settle(name) end
end

-- The answer of a command that reads one set.
function zsets.read(command, name, ...)
  zsets.settle(name)
  return call(command, key(name), ...)
end

-- Note which of some sets are empty, if all of them are.
function zsets.glance(names)
  local others = {}
  for place = 2, #names do others[place - 1] = key(names[place]) end
  if call('EXISTS', key(names[1]), unpack(others)) > 0 then return end
  for _, name in ipairs(names) do empty[name] = true end
end

local function is_empty(name)
  zsets.settle(name)
  return empty[name]
end

-- The first members, at most so many.
function zsets.first(name, count)
  if is_empty(name) then return {} end
  return zsets.read('ZRANGE', name, 0, count - 1)
end

-- At most so many members whose score is a number or below it, in the order of (score, member).
function zsets.until_(name, most, limit)
  if is_empty(name) then return {} end
  return zsets.read('ZRANGEBYSCORE', name, '-inf', digits(most), 'LIMIT', 0, limit)
end

-- The least score, or the least one over a number; nil where there is none.
function zsets.least(name, over)
  if is_empty(name) then return nil end
  local from = over and '(' .. digits(over) or '-inf'
  return tonumber(zsets.read('ZRANGEBYSCORE', name, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
end

-- The score of a member, or nil.
function zsets.score(name, member)
  return tonumber(zsets.read('ZSCORE', name, member) or nil)
end

-- Whether there is anything in a set.
function zsets.any(name)
  return not is_empty(name) and zsets.read('EXISTS', name) == 1
end
