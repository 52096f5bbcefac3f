-- shelves: sorted sets of any size in parts that Redis packs closely, for the lanes in which nearly all jobs wait.
--
-- A member of a large sorted set takes some 100 bytes besides itself, one of a set of at most 128 members that are short
-- takes ten: as many as Redis packs by default (`zset-max-listpack-entries`; where that is set lower, all of this costs more
-- room, and nothing else changes). A shelf has half as many, since in what is packed each is looked for from the first on.
--
-- So a shelved set NAME is its index, the sorted set of its shelves by the score from which on what comes is put there, and
-- each shelf is a sorted set of its own. Below its first shelf's score all goes onto the first one. Where a shelf is full,
-- and what comes stands behind all that is there, a new one is begun behind it; or before it, where it is the first and
-- all that is there stands behind what comes. What comes into the midst of a shelf makes it larger than others, and it is
-- packed less closely. A shelf is called by the score that was put there first, whatever its score becomes.
-- A member is a job, by its id. One that moves is taken out first: where it stands is known by its score.

local MOST = 64
local EVERYTHING = math.huge

local pending = {}
-- How many first members anybody has asked for, and where those stand that are to be lost.
local asked, standing = {}, {}
-- What was last read of the first members, by set: pieces of {shelf, members, the place of the first of these}.
local read = {}

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
    found = {going = {}, gone = {}, coming = {}, put = {}, ghosts = {}, lots = {}}
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

-- Take out what was last read of the first members from a place on to another, counted from 1.
function shelves.drop_read(name, first, last)
  local lots = changes_of(name).lots
  for _, piece in ipairs(read[name]) do
    local from, to = math.max(1, first - piece.first + 1), math.min(#piece.members, last - piece.first + 1)
    if from <= to then lots[#lots + 1] = {shelf = piece.shelf, members = piece.members, from = from, to = to} end
  end
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

local function remove(name, shelf, members, first, last)
  call('ZREM', of(name, shelf), unpack(members, first, last))
  if call('EXISTS', of(name, shelf)) == 0 then call('ZREM', index(name), shelf) end
end

local function clear(name, shelf)
  if not shelf or #shelf.members == 0 then return end
  remove(name, shelf.name, shelf.members, 1, #shelf.members)
  shelf.members = {}
end

-- Mostly it is the first shelf from which jobs go.
local function take_out(name, changes)
  local shelf
  for _, lot in ipairs(changes.lots) do remove(name, lot.shelf, lot.members, lot.from, lot.to) end
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

local function fill(name, shelf)
  if not shelf or #shelf.members == 0 then return end
  call('ZADD', of(name, shelf.name), unpack(shelf.members))
  shelf.members = {}
end

-- The score of the first or the last that stands on a shelf.
local function end_of(name, shelf, rank)
  fill(name, shelf)
  return tonumber(call('ZRANGE', of(name, shelf.name), rank, rank, 'WITHSCORES')[2])
end

-- Whether a shelf is full, and what comes stands behind all that is there, or before it where it is the first.
local function is_over(name, shelf, score)
  shelf.count = shelf.count or call('ZCARD', of(name, shelf.name))
  if shelf.count < MOST then return false end
  shelf.top = shelf.top or math.max(shelf.begins, end_of(name, shelf, -1))
  if score > shelf.top then return true end
  if shelf.low > -EVERYTHING then return false end
  shelf.least = shelf.least or end_of(name, shelf, 0)
  return score < shelf.least
end

local function fresh(score, low, high)
  return {
    name = digits(score), begins = score, low = low, high = high, members = {}, count = 0, top = score, least = score,
  }
end

-- Begin a shelf with what stands at a score, beside one that is full, if there is any; that one is used on where there is
-- a shelf of such a name already.
local function new_shelf(name, beside, score)
  if call('ZADD', index(name), 'NX', digits(score), digits(score)) == 0 then return beside end
  if not beside then return fresh(score, -EVERYTHING, EVERYTHING) end
  if score > beside.top then return fresh(score, score, beside.high) end
  call('ZADD', index(name), digits(beside.least), beside.name)
  return fresh(score, -EVERYTHING, beside.least)
end

local function place(name, shelf, score)
  if not holds(shelf, score) then
    fill(name, shelf)
    shelf = shelf_of(name, score)
  end
  if not shelf or is_over(name, shelf, score) then
    fill(name, shelf)
    shelf = new_shelf(name, shelf, score)
  end
  return shelf
end

-- Put a member onto the shelf of its score, and remember what that changes there.
local function add(shelf, member, score)
  shelf.members[#shelf.members + 1] = digits(score)
  shelf.members[#shelf.members + 1] = member
  shelf.count = shelf.count + 1
  shelf.top, shelf.least = shelf.top and math.max(shelf.top, score), shelf.least and math.min(shelf.least, score)
end

local function put_in(name, changes)
  local shelf = #changes.coming > 0 and last_shelf(name) or nil
  for _, member in ipairs(changes.coming) do
    local score = changes.put[member]
    if score then
      shelf = place(name, shelf, score)
      add(shelf, member, score)
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
  if #changes.ghosts > 0 then call('ZREM', index(name), unpack(changes.ghosts)) end
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

-- Visit the shelves in their order, each with its score, until there are no more or `visit` says so.
local function walk(name, visit)
  shelves.settle(name)
  local rank, page = 0, {}
  repeat
    page = call('ZRANGE', index(name), rank, rank + 1, 'WITHSCORES')
    for at = 1, #page, 2 do
      if visit(page[at], tonumber(page[at + 1])) then return end
    end
    rank = rank + 2
  until #page < 4
end

-- The first members, at most so many. The index forgets a shelf that somebody has removed by hand.
function shelves.first(name, count)
  local found, ghosts, pieces = {}, {}, {}
  walk(name, function(shelf)
    local page, before = call('ZRANGE', of(name, shelf), 0, count - #found - 1), #found
    for place = 1, #page do found[before + place] = briefs.whole(page[place]) end
    pieces[#pieces + 1] = {shelf = shelf, members = page, first = before + 1}
    if #page == 0 then ghosts[#ghosts + 1] = shelf end
    return #found >= count or #ghosts >= MOST
  end)
  if #ghosts > 0 then changes_of(name).ghosts = ghosts end
  asked[name], read[name] = math.max(asked[name] or 0, count), pieces
  return found
end

-- How many members stand before a score, or in the whole set; no more than `most` of them are counted.
function shelves.count(name, before, most)
  local count, looked = 0, false
  walk(name, function(shelf, begins)
    -- On the first one there may stand what is less than its score.
    if looked and before and begins >= before then return true end
    looked = true
    local more = before and call('ZCOUNT', of(name, shelf), '-inf', '(' .. digits(before)) or call('ZCARD', of(name, shelf))
    count = count + more
    return count >= most
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

-- The scores of as many of the first members as anybody has asked for.
local function scores_of(name)
  local found, seen, count = {}, 0, asked[name] or MOST
  walk(name, function(shelf)
    local page = call('ZRANGE', of(name, shelf), 0, count - seen - 1, 'WITHSCORES')
    for at = 1, #page, 2 do found[page[at]] = tonumber(page[at + 1]) end
    seen = seen + #page / 2
    return seen >= count
  end)
  return found
end

-- Take out a job that is one of the first, and of which nobody knows where it stands. Mostly there are many of them.
function shelves.lose(name, id)
  local member = briefs.id(id)
  if not standing[name] or not standing[name][member] then standing[name] = scores_of(name) end
  local score = standing[name][member]
  if score then shelves.drop(name, id, score) end
end

-- Some shelves from a rank on, for the audit: of each its name, how many stand there, and how many of these belong to
-- another shelf; and the rank of the next one, if there is any.
function shelves.look(name, rank, most)
  local page, found = call('ZRANGE', index(name), rank, rank + most, 'WITHSCORES'), {}
  for at = 1, math.min(#page, most * 2), 2 do
    local shelf = of(name, page[at])
    local low, high = page[at + 1], page[at + 3]
    local astray = (rank > 0 or at > 1) and call('ZCOUNT', shelf, '-inf', '(' .. digits(low)) or 0
    if high then astray = astray + call('ZCOUNT', shelf, digits(high), '+inf') end
    found[#found + 1] = {name = page[at], size = call('ZCARD', shelf), astray = astray}
  end
  return found, #page > most * 2 and rank + most or nil
end
