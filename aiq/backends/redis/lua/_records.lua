-- records: the record of a job as it is stored: a head, a map in msgpack, its digest, and its payload and result, if they
-- are small.
--
-- The head has what nearly every job has, or what changes when one is claimed and settled, as bytes of fixed places: that
-- takes a tenth of the time of a map, and `plain` changes it without looking at what stands behind. A number or text for
-- which the head has no room stands in the map. The map has numbers in the place of names (fields.py), and nothing that is
-- as by default. A plain job that nothing has happened to yet, as nearly all that wait, has a shorter head. What stands
-- behind the map is no msgpack, so that no script looks into it; a longer payload or result stands in
-- the table `payloads` or `results`, so that whoever changes a record need not write it again.

-- As in head.py. First what changes: of what kind the head is, the job's state, lane, numbers of events and runs, position,
-- when it started, finished and expires, lengths of payload and result (0 where there is none, else one more), number,
-- when it was created, length of the digest, lease, owner, the numbers of its events, its last settlement.
local HEAD = '>BBBI2I2i6I6I6I6I3I3I5I6BBc0Bc0Bc0Bc0'
-- Of these what a renewal looks at, and where that stands which it changes.
local LEASE, EXPIRES, INSTANT, INSTANT_BYTES = '>xBxxxI2xxxxxxxxxxxxxxxxxxI6xxxxxxxxxxxxxxxxxxBc0Bc0Bc0Bc0', 26, '>I6', 6
-- The same of a job that is fresh: kind, position, number of its one event, length of payload, number, when it was created,
-- length of the digest.
local FRESH, FRESH_BYTES = '>BI6I6I3I5I6B', 28
-- To be read: the number of its one event as the bytes that they are in a list of such numbers.
local OF_FRESH = '>xI6c6I3I5I6B'
-- A head whose job has one more event than the list that is told, and two pieces of what stands behind it.
records.MOVED = '>BBBI2I2i6I6I6I6I3I3I5I6BBc0Bc0Bc0I6Bc0c0c0'
-- Then what hardly ever changes: band, how long a lease is, task, queue.
local NAMED = '>BI4Bc0Bc0'
-- The kinds of heads: of a job that is not plain, of one that is, and of one that is fresh besides.
local OTHER, PLAIN, IS_FRESH = 0, 1, 2
local SETTLED = '>I2BBBc0Bc0'
local EVENT, EVENT_BYTES = '>I6', 6
records.EVENT_BYTES = EVENT_BYTES

-- What is too large for its place in the head.
records.OVER = {
  lane = 2 ^ 8, events = 2 ^ 16, fence = 2 ^ 16, position = 2 ^ 47, started_at_ms = 2 ^ 48, finished_at_ms = 2 ^ 48,
  expires_at_ms = 2 ^ 48, payload_bytes = 2 ^ 24 - 1, result_bytes = 2 ^ 24 - 1, band = 2 ^ 8, n = 2 ^ 40,
  created_at_ms = 2 ^ 48, lease_ms = 2 ^ 32,
}
-- The most bytes of a text.
records.LONG = 255
-- Those that may be nothing, of which 0 is the sign; so a 0 stands in the map.
local INSTANTS = {started_at_ms = true, finished_at_ms = true, expires_at_ms = true}
-- What stands in the head in another form.
local APART = {id = true, state = true, history = true}
local TEXTS = {lease_id = true, owner = true, task = true, queue = true}

-- What a plain job may have in its map. One that has anything else takes part in something, or has been somewhere, of
-- which `plain` knows nothing.
records.IN_PLAIN = {
  digest = true, timeout_ms = true, max_attempts = true, max_stalls = true, flow = true, tenant = true,
  max_deferral_ms = true, on_parent = true,
}

local STATES, STATE_NUMBERS = fields.STATES, fields.STATE_NUMBERS
local READY, LAST = STATE_NUMBERS.ready, 1
local type, next, byte, sub, pack, unpack_ = type, next, string.byte, string.sub, struct.pack, struct.unpack

-- The head: kind, state, lane, events, fence, position, started, finished, expires, payload, result, n, created, digest,
-- lease, owner, history, settled, and where what is named begins.
function records.head(text)
  if byte(text) ~= IS_FRESH then return unpack_(HEAD, text) end
  local position, history, payload, n, created, digest = unpack_(OF_FRESH, text)
  return PLAIN, READY, LAST, 1, 0, position, 0, 0, 0, payload, 0, n, created, digest, '', '', history, '', FRESH_BYTES + 1
end

-- Of a head only the state, the number of runs, and the bytes of payload and result, -1 where there is none.
function records.sizes(text)
  if byte(text) == IS_FRESH then return READY, 0, unpack_('>I3', text, 14) - 1, -1 end
  local state, _, _, _, high, low = byte(text, 2, 7)
  local payload, result = unpack_('>I3I3', text, 32)
  return state, high * 256 + low, payload - 1, result - 1
end

-- Of a head the state and the number of the job.
function records.standing(text)
  if byte(text) == IS_FRESH then return STATES[READY], unpack_('>I5', text, 17) end
  return STATES[byte(text, 2)], unpack_('>I5', text, 38)
end

-- Of a head the state, the number of the run, when its lease expires and who holds it, and where what is named begins; nil of
-- nothing, and of a job that is fresh.
function records.lease(text)
  if not text or byte(text) == IS_FRESH then return nil end
  local state, run, expires, lease, _, _, _, at = unpack_(LEASE, text)
  return state, run, expires, lease, at
end

-- The same record with a lease that expires at another instant.
function records.with_expiry(text, expires)
  return sub(text, 1, EXPIRES - 1) .. pack(INSTANT, expires) .. sub(text, EXPIRES + INSTANT_BYTES)
end

-- The head of a job that is fresh.
function records.fresh(position, event, payload_bytes, n, created, digest)
  return pack(FRESH, IS_FRESH, position, event, payload_bytes + 1, n, created, digest)
end

-- What is named from a place on: band, lease, task, queue, and where the map begins.
function records.named(text, at)
  return unpack_(NAMED, text, at)
end

-- A head of such values.
function records.head_of(
  kind, state, lane, events, fence, position, started, finished, expires, payload, result, n, created, digest,
  lease, owner, history, settled
)
  return pack(
    HEAD, kind, state, lane, events, fence, position, started, finished, expires, payload, result, n, created, digest,
    #lease, lease, #owner, owner, #history, history, #settled, settled
  )
end

-- The same of what is named.
function records.named_of(band, lease_ms, task, queue)
  return pack(NAMED, band, lease_ms, #task, task, #queue, queue)
end

-- The numbers of a job's events, with one more.
function records.with_event(history, number)
  return history .. pack(EVENT, number)
end

-- A settlement as it stands in the head, or nil where it is too long for that.
function records.settled(fence, lease_id, id, state, late, step_key)
  lease_id = briefs.id(lease_id)
  if step_key or fence >= records.OVER.fence or #lease_id + #id > records.LONG - 8 then return nil end
  return pack(SETTLED, fence, STATE_NUMBERS[state], late and 1 or 0, #lease_id, lease_id, #id, id)
end

local function settled_of(text)
  local fence, state, late, lease_id, id = unpack_(SETTLED, text)
  return {fence, briefs.whole(lease_id), id, STATES[state], late == 1}
end

local function has_room(name, value)
  if name == 'digest' then return briefs.is_digest(value) end
  if TEXTS[name] then return value ~= '' and #value <= records.LONG end
  local over = records.OVER[name]
  return over and value < over and (value > 0 or value == 0 and not INSTANTS[name] or name == 'position' and value > -over)
end

-- A value of the head, or what stands there for one that is nothing or has no room.
local function headed(job, name, nothing)
  local value = job[name]
  return value ~= nil and has_room(name, value) and value or nothing
end

local function history_of(job)
  local told = ''
  for _, number in ipairs(job.history or {}) do told = records.with_event(told, number) end
  return told
end

-- What stands in the map, and whether all of it is what a plain job may have.
local function mapped(job, settled)
  local kept, plain = {}, true
  local usual, numbers = defaults.JobRecord.__index, fields.NUMBERS
  for name, value in pairs(job) do
    local nothing = value == usual[name] or type(value) == 'table' and next(value) == nil
    local apart = APART[name] or name == 'settled' and settled or has_room(name, value)
    if not nothing and not apart then
      kept[numbers[name] or name] = value
      plain = plain and records.IN_PLAIN[name] or false
    end
  end
  return kept, plain
end

-- The text of a record, but for what stands behind it.
function records.pack(job)
  local settled = job.settled and records.settled(unpack(job.settled))
  local kept, plain = mapped(job, settled)
  local digest = job.digest and briefs.is_digest(job.digest) and briefs.digest(job.digest) or ''
  return records.head_of(
    plain and PLAIN or OTHER, STATE_NUMBERS[job.state], headed(job, 'lane', 0), headed(job, 'events', 0), headed(job, 'fence', 0),
    headed(job, 'position', 0), headed(job, 'started_at_ms', 0), headed(job, 'finished_at_ms', 0),
    headed(job, 'expires_at_ms', 0), headed(job, 'payload_bytes', -1) + 1, headed(job, 'result_bytes', -1) + 1,
    headed(job, 'n', 0), headed(job, 'created_at_ms', 0), #digest,
    headed(job, 'lease_id', ''), headed(job, 'owner', ''), history_of(job), settled or ''
  ) .. records.named_of(
    headed(job, 'band', 0), headed(job, 'lease_ms', 0), headed(job, 'task', ''), headed(job, 'queue', '')
  ) .. cmsgpack.pack(kept) .. digest
end

local function some(value, nothing)
  if value ~= nothing then return value end
end

local function numbers_of(history)
  local found = {}
  for place = 1, #history, EVENT_BYTES do found[#found + 1] = unpack_(EVENT, history, place) end
  return #found > 0 and found or nil
end

local function from_head(text)
  local _, state, lane, events, fence, position, started, finished, expires, payload, result, n, created, digest, lease, owner,
    history, settled, at = records.head(text)
  return {
    state = STATES[state], lane = lane, events = events, fence = fence, position = position,
    started_at_ms = some(started, 0), finished_at_ms = some(finished, 0), expires_at_ms = some(expires, 0),
    payload_bytes = some(payload - 1, -1), result_bytes = some(result - 1, -1), n = n, created_at_ms = created,
    lease_id = some(lease, ''), owner = some(owner, ''), history = numbers_of(history),
    settled = settled ~= '' and settled_of(settled) or nil,
  }, at, digest
end

-- A record, and the bytes behind it.
function records.read(id, text)
  local job, at, digest = from_head(text)
  job.id = id
  job.band, job.lease_ms, job.task, job.queue, at = records.named(text, at)
  local offset, kept = cmsgpack.unpack_one(text, at - 1)
  local names = fields.NAMES
  for number, value in pairs(kept) do job[names[number] or number] = value end
  local behind = offset < 0 and '' or text:sub(offset + 1)
  if digest > 0 then job.digest = briefs.whole_digest(behind) end
  return setmetatable(job, defaults.JobRecord), behind:sub(digest + 1)
end
