-- keys: ordered keys: who holds each, who stands in its line, and which ready jobs stand in no lane for it.
--
-- A spot is the name of one key of one queue. A row of `keys` is a `KeyState`; a row of `keyed` is an ordered job that
-- has not ended: turn (its place in the order of enqueueing), root and depth (see `keys.place`), stand, and aside, if
-- it is ready and stands in no lane. `key_line:…` and `key_holders:…` are the jobs of a spot by their places. The record of
-- a child has its `branch`: the number of the job at the top of its tree, and how many parents are above it.
-- spec: chapter 18

-- What an ordered job has to do with its key. One that is away has ended, is held, or is parked and lets those behind
-- it pass.
keys.LINE, keys.HOLDS, keys.AWAY = 0, 1, 2

local SHAPE = defaults.KeyState
local PARKING = {waiting = true, suspended = true, scheduled = true}
local ORDERS = {[keys.LINE] = 'key_line', [keys.HOLDS] = 'key_holders'}
local DEEPEST = 4294967295
-- How many bytes of a member of such an order come before the id.
local PLACE_BYTES = 18

-- Spots with room for the first of their line, to be looked at before the step ends.
local open = {}
-- Rows that this step has dropped.
local left = {}

-- The branch of a child whose parent has that number, and that branch if it has a parent itself. spec: KEY-13
function keys.branch_under(number, branch)
  if branch then return {root = branch.root, depth = branch.depth + 1} end
  return {root = number, depth = 1}
end

-- How many more may hold a key now. spec: KEY-1, KEY-11
function keys.room(state)
  return state.paused and 0 or math.max(0, state.places - state.holders)
end

-- Whether somebody of the line may hold a key. spec: KEY-3
function keys.waits(state)
  return state.line > 0 and keys.room(state) > 0
end

-- Whether there is nothing to know of a key. spec: KEY-12
function keys.forgotten(state)
  return state.holders == 0 and state.line == 0 and not state.paused
end

-- A key when a job of that `per_key` was enqueued. spec: KEY-10
function keys.told(state, per_key)
  return rows.with(state, {per_key = per_key, places = math.max(per_key, state.holders)})
end

-- A key, for a job of that `per_key` that comes to it: of one that was forgotten it tells. spec: KEY-12
function keys.known(state, per_key)
  return state.per_key > 0 and state or keys.told(state, per_key)
end

local function step_of(stand, before, after)
  return (after == stand and 1 or 0) - (before == stand and 1 or 0)
end

-- A key when one of its jobs goes from one stand to another.
-- Places over `per_key` are those of jobs that held the key when that was lowered: they go with them. spec: KEY-10
function keys.moved(state, before, after)
  local holders = state.holders + step_of(keys.HOLDS, before, after)
  return rows.with(state, {
    holders = holders,
    line = state.line + step_of(keys.LINE, before, after),
    places = math.max(state.per_key, math.min(state.places, holders)),
  })
end

-- Where a job stands in a line, as bytes that go before its id: root, depth, turn. Whoever a parked parent waits for
-- stands before it, and before those who wait for it: so no circle can come about. spec: KEY-2, KEY-13
function keys.place(keyed)
  return struct.pack('>I7I4I7', keyed.root, DEEPEST - keyed.depth, keyed.turn)
end

-- Whether a job waits for something that one of its runs has asked for. spec: KEY-6
function keys.parked(state, wait_key)
  return PARKING[state] == true and (wait_key or '') ~= ''
end

-- Where a job stands that is new, or begins anew. spec: KEY-2, KEY-4, KEY-7
function keys.arrived(state, job_state, while_parked, parks)
  if parks and while_parked == 'free' then return keys.AWAY end
  if job_state == 'ready' and keys.room(state) > 0 and state.line == 0 then return keys.HOLDS end
  return keys.LINE
end

-- Where a job stands after a move to a state, which had not ended. spec: KEY-4 to KEY-9
function keys.follows(stand, state, while_parked, job_state, parks)
  if states.TERMINAL[job_state] or job_state == 'held' then return keys.AWAY end
  if parks then return while_parked == 'free' and keys.AWAY or keys.LINE end
  if job_state ~= 'ready' or stand == keys.HOLDS then return stand end
  local alone = state.line == (stand == keys.LINE and 1 or 0)
  return keys.room(state) > 0 and alone and keys.HOLDS or keys.LINE
end

-- Who of a line may hold its key now. A parked one takes a place from those behind it; one that has not started, and
-- may not yet, stops them. spec: KEY-3, KEY-6
function keys.called_up(room, line)
  local found = {}
  for place = 1, math.min(room, #line) do
    local job = line[place]
    if job.state == 'ready' then
      found[#found + 1] = job
    elseif not keys.parked(job.state, job.wait_key) then
      break
    end
  end
  return found
end

-- Whether a job that has not ended may stand there in that state; for the audit.
function keys.fits(stand, job_state, parks, while_parked)
  if parks then return stand == (while_parked == 'free' and keys.AWAY or keys.LINE) end
  if job_state == 'running' then return stand == keys.HOLDS end
  if job_state == 'held' then return stand == keys.AWAY end
  return stand ~= keys.AWAY
end

-- Refuse an ordered job in a queue that gives the newest first. spec: LIFO-2
function keys.check_order(spec, lifo)
  if not lifo or not jobs.ordered(spec) then return end
  step.refuse('Conflict', {
    message = 'Queue ' .. texts.quoted(spec.queue) .. ' gives the newest first, and job ' .. texts.quoted(spec.id)
      .. ' is to start in the order of its key. Enqueue it elsewhere, or with `per_key=0`.',
    reason = 'lifo',
  })
end

-- The spot of a key of a queue. Neither holds the character between them.
function keys.spot(queue, name)
  return queue .. '\0' .. name
end

-- The spot of an ordered job.
function keys.spot_of(job)
  return keys.spot(job.queue, job.key or '')
end

-- Read what the step is about to look at of some jobs, stored or new, in as few commands as there are tables.
function keys.fetch(records)
  local spots, ids = {}, {}
  for _, job in ipairs(records) do
    if jobs.ordered(job) then
      spots[#spots + 1] = keys.spot_of(job)
      if job.n and not jobs.terminal(job) then ids[#ids + 1] = job.id end
    end
  end
  if #spots == 0 then return end
  rows.fetch('keys', spots)
  rows.fetch('keyed', ids)
end

-- A key, or one of which nothing is known.
function keys.state(spot)
  return rows.get('keys', spot, SHAPE) or setmetatable({}, SHAPE)
end

-- What is stored of an ordered job that has not ended.
function keys.of(id)
  return rows.get('keyed', id)
end

-- Whether a ready job stands in no lane.
function keys.aside(id)
  local keyed = keys.of(id)
  return keyed ~= nil and keyed.aside == true
end

local function order_of(spot, stand)
  return ORDERS[stand] .. ':' .. redis.sha1hex(spot)
end

-- Write a key as it came from another storage, or as a step leaves it.
function keys.keep(spot, state)
  if keys.waits(state) then
    open[spot] = true
    step.has_room_at_keys()
  end
  if keys.forgotten(state) then rows.drop('keys', spot) else rows.put('keys', spot, state) end
end

local function put(spot, id, keyed, state, stand)
  local was = keyed.stand
  if was ~= stand then
    local member = keys.place(keyed) .. id
    if ORDERS[was] then zsets.drop(order_of(spot, was), member) end
    if ORDERS[stand] then zsets.put(order_of(spot, stand), member, 0) end
  end
  keys.keep(spot, keys.moved(state, was, stand))
  keyed.stand = stand
  rows.put('keyed', id, keyed)
end

local function arrive(job, turn, new)
  local spot, branch = keys.spot_of(job), job.parent_id and job.branch
  local state = (new and keys.told or keys.known)(keys.state(spot), job.per_key)
  local keyed = {turn = turn, root = branch and branch.root or turn, depth = branch and branch.depth or 0}
  keyed.stand = keys.AWAY
  local parks = keys.parked(job.state, job.wait_key)
  put(spot, job.id, keyed, state, keys.arrived(state, job.state, job.while_parked, parks))
end

local function follow(after)
  local spot, keyed = keys.spot_of(after), keys.of(after.id)
  local state = keys.known(keys.state(spot), after.per_key)
  local parks = keys.parked(after.state, after.wait_key)
  put(spot, after.id, keyed, state, keys.follows(keyed.stand, state, after.while_parked, after.state, parks))
  if states.TERMINAL[after.state] then
    left[after.id] = keyed
    rows.drop('keyed', after.id)
  end
end

-- Let an ordered job stand at its key where its move takes it; one that begins anew comes last. spec: KEY-2, KEY-16
function keys.move(before, moved)
  if before and not jobs.terminal(before) then
    follow(moved)
  else
    arrive(moved, before and jobs.next_number() or moved.n, not before)
  end
end

-- Whether a ready job may stand in no lane. spec: KEY-1, KEY-11
function keys.keeps_out(job)
  if not jobs.ordered(job) then return false end
  return keys.of(job.id).stand ~= keys.HOLDS or keys.state(keys.spot_of(job)).paused
end

-- Let a ready job stand in no lane.
function keys.stand_aside(job)
  local keyed = keys.of(job.id)
  keyed.aside = true
  rows.put('keyed', job.id, keyed)
end

-- Let a job that stands in no lane do so no more; say whether it did.
function keys.leave_aside(before)
  if not jobs.ordered(before) then return false end
  local keyed = keys.of(before.id) or left[before.id]
  if not keyed.aside then return false end
  keyed.aside = nil
  if keys.of(before.id) then rows.put('keyed', before.id, keyed) end
  return true
end

local function listed(spot, stand, count)
  local found = zsets.first(order_of(spot, stand), count)
  for place, member in ipairs(found) do found[place] = member:sub(PLACE_BYTES + 1) end
  return found
end

-- The first jobs of a line.
function keys.first(spot, count)
  return count > 0 and listed(spot, keys.LINE, count) or {}
end

-- How many jobs of a line stand before one of them.
function keys.before(spot, id)
  return zsets.read('ZRANK', order_of(spot, keys.LINE), keys.place(keys.of(id)) .. id) or 0
end

-- The jobs that hold a key, in the order in which they would stand in its line. There are at most MAX_PER_KEY.
function keys.holders(spot)
  return listed(spot, keys.HOLDS, bounds.MAX_PER_KEY)
end

-- How many jobs hold a key, and how many stand in its line, as they are listed.
function keys.many(spot)
  return zsets.read('ZCARD', order_of(spot, keys.HOLDS)), zsets.read('ZCARD', order_of(spot, keys.LINE))
end

-- Whether a job is listed where it stands.
function keys.is_listed(spot, id)
  local keyed = keys.of(id)
  if not ORDERS[keyed.stand] then return true end
  return zsets.score(order_of(spot, keyed.stand), keys.place(keyed) .. id) ~= nil
end

-- Of the jobs that hold a key the one that would stand first in its line.
function keys.first_holder(spot)
  return keys.holders(spot)[1]
end

-- Let a job of the line hold the key. spec: KEY-3
function keys.take(spot, id)
  local keyed = keys.of(id)
  keyed.aside = nil
  put(spot, id, keyed, keys.state(spot), keys.HOLDS)
end

-- Let a job of the line whose row was removed by hand stand nowhere: nobody is to stand behind it for ever.
function keys.lose(spot, id)
  put(spot, id, keys.of(id), keys.state(spot), keys.AWAY)
  rows.drop('keyed', id)
end

-- Let a job that comes from another storage stand where it stood there; its key has come before it.
function keys.restore(job, keyed)
  rows.put('keyed', job.id, keyed)
  if ORDERS[keyed.stand] then
    zsets.put(order_of(keys.spot_of(job), keyed.stand), keys.place(keyed) .. job.id, 0)
  end
end

-- Pause a key, known or not, or resume it. spec: KEY-11
function keys.pause(spot, paused)
  keys.keep(spot, rows.with(keys.state(spot), {paused = paused}))
end

-- The spots with room for the first of their line, sorted, to be looked at once.
function keys.opened()
  if next(open) == nil then return {} end
  local spots = order.names(open)
  open = {}
  return spots
end
