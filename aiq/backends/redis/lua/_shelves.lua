-- shelves: sorted sets of any size in parts that Redis packs closely, for the lanes in which nearly all jobs wait.
--
-- A member of a large sorted set takes some 100 bytes besides itself, one of a set of at most 128 members that are short
-- takes ten: as many as Redis packs by default (`zset-max-listpack-entries`; where that is set lower, all of this costs more
-- room, and nothing else changes). A shelf has half as many, since in what is packed each is looked for from the first on. So a shelved set NAME is the sorted set of its shelves, by the least score that is put
-- there, which is also what a shelf is called; and each shelf is a sorted set of its own. Below its first shelf's score
-- all goes onto the first one. A new shelf is begun behind the others, when the last is full and what comes stands behind
-- all that is there; what comes into the midst makes a shelf larger than others, and is packed less closely.
-- A member is a job, by its id. One that moves is taken out first: where it stands is known by its score.

local MOST = 64
local EVERYTHING = math.huge

local pending = {}

-- The key of the set of its shelves, which is no name of an older layout: who knows only that one finds nothing here.
local function index(name)
  return key('shelves', name)
end

local function of(name, shelf)
  return key('shelf', name, shelf)
end

local function changes_of(name)
  local found = pending[name]
  if not found then
    found = {going = {}, gone = {}, coming = {}, put = {}}
    pending[name] = found
  end
  return found
end

-- Let a job stand at a score. It is new, or was taken out.
function shelves.put(name, id, score)
  local changes, member = changes_of(name), briefs.id(id)
  if not changes.put[member] then changes.coming[#changes.coming + 1] = member end
  changes.put[member] = score
end

-- Take out the job that stands at a score.
function shelves.drop(name, id, score)
  local changes, member = changes_of(name), briefs.id(id)
  changes.put[member] = nil
  if changes.gone[member] then return end
  changes.going[#changes.going + 1] = member
  changes.gone[member] = score
end

-- The shelf of a rank: what is put there stands at `low` or behind it, and before `high`.
local function shelf_at(name, rank)
  local found = call('ZRANGE', index(name), rank, rank + 1, 'WITHSCORES')
  if not found[1] then return nil end
  return {
    name = found[1], begins = tonumber(found[2]), low = rank == 0 and -EVERYTHING or tonumber(found[2]),
    high = tonumber(found[4]) or EVERYTHING, members = {},
  }
end

local function holds(shelf, score)
  return shelf and shelf.low <= score and score < shelf.high
end

-- The shelf for a score, or nil.
local function shelf_of(name, score)
  return shelf_at(name, math.max(0, call('ZCOUNT', index(name), '-inf', digits(score)) - 1))
end

local function clear(name, shelf)
  if not shelf or #shelf.members == 0 then return end
  call('ZREM', of(name, shelf.name), unpack(shelf.members))
  shelf.members = {}
  if call('EXISTS', of(name, shelf.name)) == 0 then call('ZREM', index(name), shelf.name) end
end

-- Mostly it is the first shelf from which jobs go.
local function take_out(name, changes)
  local shelf
  for _, member in ipairs(changes.going) do
    local score = changes.gone[member]
    if not holds(shelf, score) or #shelf.members == MOST then
      clear(name, shelf)
      shelf = shelf_at(name, 0)
      if not holds(shelf, score) then shelf = shelf_of(name, score) end
    end
    if shelf then shelf.members[#shelf.members + 1] = member end
  end
  clear(name, shelf)
end

local function last_shelf(name)
  local found = call('ZRANGE', index(name), -1, -1, 'WITHSCORES')
  if not found[1] then return nil end
  local begins = tonumber(found[2])
  return {name = found[1], begins = begins, low = begins, high = EVERYTHING, members = {}}
end

local function new_shelf(name, score)
  local shelf = {name = digits(score), begins = score, low = score, high = EVERYTHING, members = {}, count = 0, top = score}
  call('ZADD', index(name), shelf.name, shelf.name)
  return shelf
end

local function fill(name, shelf)
  if not shelf or #shelf.members == 0 then return end
  call('ZADD', of(name, shelf.name), unpack(shelf.members))
  shelf.members = {}
end

-- Whether a shelf is the last, is full, and what comes stands behind all that is there.
local function is_over(name, shelf, score)
  if shelf.high < EVERYTHING then return false end
  shelf.count = shelf.count or call('ZCARD', of(name, shelf.name))
  if shelf.count < MOST then return false end
  fill(name, shelf)
  local last = call('ZRANGE', of(name, shelf.name), -1, -1, 'WITHSCORES')
  return score > math.max(shelf.begins, tonumber(last[2]))
end

local function place(name, shelf, score)
  if not holds(shelf, score) then
    fill(name, shelf)
    shelf = shelf_of(name, score)
  end
  if not shelf or is_over(name, shelf, score) then
    fill(name, shelf)
    shelf = new_shelf(name, score)
  end
  return shelf
end

local function put_in(name, changes)
  local shelf = #changes.coming > 0 and last_shelf(name) or nil
  for _, member in ipairs(changes.coming) do
    local score = changes.put[member]
    if score then
      shelf = place(name, shelf, score)
      shelf.members[#shelf.members + 1] = digits(score)
      shelf.members[#shelf.members + 1] = member
      shelf.count = shelf.count and shelf.count + 1
      changes.put[member] = nil
    end
  end
  fill(name, shelf)
end

-- Write what is pending of a set.
function shelves.settle(name)
  local changes = pending[name]
  if not changes then return end
  pending[name] = nil
  take_out(name, changes)
  put_in(name, changes)
end

-- Write what is pending of all sets.
function shelves.flush()
  local names = {}
  for name in pairs(pending) do names[#names + 1] = name end
  for _, name in ipairs(names) do shelves.settle(name) end
end

-- Whether there is anything in a set.
function shelves.any(name)
  shelves.settle(name)
  return call('EXISTS', index(name)) == 1
end

-- Visit the shelves in their order, until there are no more or `visit` says so.
local function walk(name, visit)
  shelves.settle(name)
  local rank, page = 0, {}
  repeat
    page = call('ZRANGE', index(name), rank, rank + 1)
    for _, shelf in ipairs(page) do
      if visit(shelf) then return end
    end
    rank = rank + #page
  until #page < 2
end

-- The first members, at most so many.
function shelves.first(name, count)
  local found = {}
  walk(name, function(shelf)
    for _, member in ipairs(call('ZRANGE', of(name, shelf), 0, count - #found - 1)) do
      found[#found + 1] = briefs.whole(member)
    end
    return #found >= count
  end)
  return found
end

-- How many members stand before a score, or in the whole set; no more than `most` of them are counted.
function shelves.count(name, before, most)
  local count = 0
  walk(name, function(shelf)
    local more = before and call('ZCOUNT', of(name, shelf), '-inf', '(' .. digits(before)) or call('ZCARD', of(name, shelf))
    count = count + more
    return count >= most or more == 0
  end)
  return math.min(count, most)
end

-- Whether a job stands at a score.
function shelves.stands(name, id, score)
  shelves.settle(name)
  local shelf = shelf_of(name, score)
  local found = shelf and call('ZSCORE', of(name, shelf.name), briefs.id(id))
  return found and tonumber(found) == score or false
end

-- Take out a job of which nobody knows where it stands.
function shelves.lose(name, id)
  walk(name, function(shelf)
    local score = call('ZSCORE', of(name, shelf), briefs.id(id))
    if score then shelves.drop(name, id, tonumber(score)) end
    return score
  end)
end
