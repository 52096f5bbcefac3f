-- parked: pools, lines and gates that stand aside, each by one limit and key, until an instant or until that has room.
--
-- Until when is said in the row of each (`wake_at_ms`; 0: not parked; MAX_INSTANT_MS: until it is told). Those that wait
-- for an instant are in `wakes:KIND:QUEUE`, and all together in `wakes`, by that instant; those that wait for a limit and
-- key in `behind:LIMIT:KEY`. A member of the last two is kind, queue and what it is called in its queue.
-- Limits and keys that have been freed and kept more aside than one step may open are in `freed_limits`, and in rows of
-- `freed`: {after, the last that was opened, left, how many yet}. As long as there are any, FREED is in `wakes`.
-- spec: POOL-1, POOL-3, POOL-4

local SEPARATOR, FREED = '\0', 'freed'

local function behind(limit, key_)
  return 'behind:' .. limit .. ':' .. (key_ ~= '' and redis.sha1hex(key_) or '')
end

local function member(kind, queue, id)
  return table.concat({kind, queue, id}, SEPARATOR)
end

-- What stood aside before, by member: {limit, key}. It is stored as long as it stands.
local function forget(kind, queue, id)
  local whole = member(kind, queue, id)
  local before = rows.get('parked', whole)
  if not before then return end
  rows.drop('parked', whole)
  zsets.drop(behind(before[1], before[2]), whole)
  zsets.drop('wakes', whole)
  zsets.drop('wakes:' .. kind .. ':' .. queue, id)
end

-- Let something stand aside, in the place of what it stood aside for before.
function parked.park(kind, queue, id, wake_at_ms, limit, key_)
  forget(kind, queue, id)
  local whole = member(kind, queue, id)
  rows.put('parked', whole, {limit, key_})
  zsets.put(behind(limit, key_), whole, 0)
  if wake_at_ms < bounds.MAX_INSTANT_MS then
    zsets.put('wakes', whole, wake_at_ms)
    zsets.put('wakes:' .. kind .. ':' .. queue, id, wake_at_ms)
  end
end

-- Let it stand aside no more, if it does.
function parked.wake(kind, queue, id)
  forget(kind, queue, id)
end

-- Keep step with the row of a pool.
function parked.follow_pool(pool)
  if pool.wake_at_ms ~= 0 then
    parked.park('pools', pool.queue, pool.name, pool.wake_at_ms, pool.parked_by, '')
  else
    parked.wake('pools', pool.queue, pool.name)
  end
end

-- Keep step with the row of a line.
function parked.follow_line(spot, line)
  if line.wake_at_ms ~= 0 then
    parked.park('lines', spot.queue, spot.id, line.wake_at_ms, line.parked_by, line.tenant)
  else
    parked.wake('lines', spot.queue, spot.id)
  end
end

-- At most so many of a kind whose instant is now or past, in the order of (instant, name).
local function due(kind, queue, now_ms, limit)
  return zsets.until_('wakes:' .. kind .. ':' .. queue, now_ms, limit)
end

local function spot_of(queue, id)
  return lanes.spot_named(lanes.pool_spot(queue, id))
end

-- How many pools, lines and gates one claim may still open whose instant has come. spec: POOL-3
function parked.room()
  return {pools = bounds.MAX_SWEEP, lines = bounds.MAX_SWEEP, gates = bounds.MAX_SWEEP}
end

-- Whether there may be more of a kind than the claim has opened.
function parked.used_up(room)
  return room.pools == 0 or room.lines == 0 or room.gates == 0
end

-- Whether the instant of anything has come.
function parked.any_due(now_ms)
  return #zsets.until_('wakes', now_ms, 1) > 0
end

-- Open what stands aside in a queue until now or earlier, as much as a claim still may.
function parked.wake_due(queue, now_ms, room)
  local due_pools, due_lines = due('pools', queue, now_ms, room.pools), due('lines', queue, now_ms, room.lines)
  local due_gates = due('gates', queue, now_ms, room.gates)
  for _, name in ipairs(due_pools) do lanes.wake_pool(queue, name) end
  for _, id in ipairs(due_lines) do lanes.wake_line(spot_of(queue, id)) end
  gates.open_all(queue, due_gates)
  room.pools, room.lines = room.pools - #due_pools, room.lines - #due_lines
  room.gates = room.gates - #due_gates
end

-- Open some of what stands behind a limit and key, by their names; the answer is their queues.
--
-- Gates are as many as there are lines with that key; the next claims open them.
local function open(members)
  local queues = {}
  for _, whole in ipairs(members) do
    local kind, queue, id = whole:match('^(%l+)%z([^%z]+)%z(.*)$')
    queues[queue] = true
    if kind == 'pools' then
      lanes.wake_pool(queue, id)
    elseif kind == 'lines' then
      lanes.wake_line(spot_of(queue, id))
    else
      gates.shut(queue, id, 0)
    end
  end
  return order.names(queues)
end

-- At most so many of a set, behind a member, and then from the first on up to it.
local function round_from(name, after, most)
  local found = zsets.read('ZRANGEBYLEX', name, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, most)
  if after == '' or #found == most then return found end
  for _, one in ipairs(zsets.read('ZRANGEBYLEX', name, '-', '[' .. after, 'LIMIT', 0, most - #found)) do
    found[#found + 1] = one
  end
  return found
end

-- Go on with opening what a limit and key keep aside; the answer is how many that were, and their queues.
local function open_more(id, most)
  local limit, key_ = id:match('^([^%z]*)%z(.*)$')
  local note = rows.get('freed', id)
  local found = round_from(behind(limit, key_), note.after, math.min(most, note.left))
  local left = note.left - #found
  if #found == 0 or left <= 0 then
    rows.drop('freed', id)
    zsets.drop('freed_limits', id)
  else
    rows.put('freed', id, {after = found[#found], left = left})
  end
  return #found, open(found)
end

-- How many this step may still open of what it frees.
local room = bounds.MAX_SWEEP

-- Open what a limit, or its part of one tenant or key, keeps aside in any queue. The answer is these queues.
--
-- Those for whom a step has no room are opened in turns by the claims and upkeep that follow: each goes on where the last
-- one has stopped, also when the limit has been freed again meanwhile. So nobody stands aside for ever behind others.
function parked.wake_behind(limit, key_)
  local found = zsets.first(behind(limit, key_), room + 1)
  if #found <= room then
    room = room - #found
    return open(found)
  end
  local id = limit .. SEPARATOR .. key_
  local before = rows.get('freed', id)
  rows.put('freed', id, {after = before and before.after or '', left = zsets.read('ZCARD', behind(limit, key_))})
  zsets.put('freed_limits', id, 0)
  -- Whoever looks for what is due finds it.
  zsets.put('wakes', FREED, step.now_ms)
  if room == 0 then return {} end
  local many, queues = open_more(id, room)
  room = room - many
  return queues
end

-- Whether some of what limits kept aside is still to be opened.
function parked.left_over()
  return zsets.any('freed_limits')
end

-- Open more of what limits kept aside that have been freed, at most MAX_SWEEP, and tell the queues.
function parked.go_on()
  local left = bounds.MAX_SWEEP
  for _, id in ipairs(zsets.first('freed_limits', left)) do
    if left <= 0 then break end
    local many, queues = open_more(id, left)
    left = left - math.max(1, many)
    for _, queue in ipairs(queues) do step.wake('queue:' .. queue) end
  end
  if not parked.left_over() then zsets.drop('wakes', FREED) end
end

-- The first instant ahead at which something opens by time, or nil. One that has passed opens nothing by itself: a
-- claim does. spec: POOL-4
function parked.next_ms(now_ms)
  return zsets.least('wakes', now_ms)
end
