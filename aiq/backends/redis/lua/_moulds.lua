-- moulds: the records of plain jobs to which the same happens as to others, put together from pieces of their text.
--
-- Of jobs that one claim gives, and that end together, most of a head is the same, and nearly all that is not is copied as it
-- stands: to take nineteen values out of a head, and write them again, takes three times as long. So of the first of them
-- `plain` finds out what is to be there, and those that are like it follow by their pieces. The places are those of HEAD and
-- FRESH in `records`.
-- spec: CLAIM-1, CLAIM-8, LEASE-1, LEASE-3, STATE-6

-- Of a job that is fresh: position, event, payload, number, created, digest.
local FRESH, FRESH_NAMED = '>xc6c6c3c5c6c1', 29
-- Of a run: kind to fence; position; started to expires; payload; result; number; created and length of the digest.
local RUN, OWNED = '>c7c6c18c3c3c5c7', 50
local SECOND, INSTANTS, NO_RESULT, NO_SETTLEMENT = '\0\2\0\1', '>I6I6I6', '\0\0\0', '\0'
local READY, RUNNING = fields.STATE_NUMBERS.ready, fields.STATE_NUMBERS.running
local SUCCEEDED = fields.STATE_NUMBERS.succeeded
-- Of a job that is ready, and not fresh: as RUN, and that nobody owns it, its one event, and no settlement.
local WHOLE, WHOLE_NAMED = '>c7c6c18c3c3c5c7c3c6c1', 60
local READY_ONCE, NEVER, NOBODY = string.char(READY, 1, 0, 1, 0, 0), string.rep('\0', 18), '\0\0\6'
-- A fresh job has one event, and the lane of those that do not come back.
local BEGUN, BEGUN_EVENT = string.char(1, RUNNING, 1, 0, 2, 0, 1), string.char(3, READY * 16 + RUNNING)
local SUCCESS_EVENT = string.char(5, RUNNING * 16 + SUCCEEDED)

local sub, char, pack, unpack_, floor = string.sub, string.char, struct.pack, struct.unpack, math.floor

-- Whole numbers by their bytes: nearly all jobs of a batch have the same ones.
local function reader(format)
  return setmetatable({}, {__index = function(known, bytes)
    local number = unpack_(format, bytes)
    known[bytes] = number
    return number
  end})
end

local sizes, instants = reader('>I3'), reader('>I6')

-- Of the job that was last looked at what is named, and what it says.
local named, named_bytes, lease_ms, task, queue

-- The lease, task and queue that are named from a place on.
local function look(text, at)
  if named and sub(text, at, at + named_bytes) == named then return end
  local _, after
  _, lease_ms, task, queue, after = records.named(text, at)
  named, named_bytes = sub(text, at, after - 1), after - at - 1
end

-- The number of an event that is written at once, as it stands in a head. Most have all bytes but the last in common.
local high, high_bytes

local function numbered(number)
  local over = floor(number / 256)
  if over ~= high then high, high_bytes = over, sub(pack('>I6', number), 1, 5) end
  return high_bytes .. char(number - over * 256)
end

-- When those start that begin now, and when leases of a length expire.
local begun = setmetatable({}, {__index = function(known, length_ms)
  known[length_ms] = pack(INSTANTS, step.now_ms, 0, step.now_ms + length_ms)
  return known[length_ms]
end})

-- What stands in the heads of all runs that have a lease and a worker, up to the numbers of their two events.
function moulds.owner(lease_id, worker)
  return char(#lease_id) .. lease_id .. char(#worker) .. worker .. char(2 * records.EVENT_BYTES)
end

-- Begin the first run of a fresh job, if there is room for its payload: its record, when its lease expires, how many bytes its
-- payload has, queue and task, and how long it has waited.
function moulds.begin(text, owner, takes)
  local position, event, payload, n, created, digest = unpack_(FRESH, text)
  local bytes = sizes[payload] - 1
  if not takes(bytes) then return nil end
  look(text, FRESH_NAMED)
  local number = numbered(events.stamp(BEGUN_EVENT .. n .. SECOND))
  return BEGUN .. position .. begun[lease_ms] .. payload .. NO_RESULT .. n .. created .. digest .. owner .. event .. number
    .. NO_SETTLEMENT .. sub(text, FRESH_NAMED), step.now_ms + lease_ms, bytes, queue, task, step.now_ms - instants[created]
end

-- Where is named what a job says that has a whole head, nobody owns, and has had one event and no settlement; nil of others.
function moulds.named_at(text)
  if #text < WHOLE_NAMED or sub(text, 50, 52) ~= NOBODY or sub(text, 59, 59) ~= NO_SETTLEMENT then return nil end
  return WHOLE_NAMED
end

-- The same of a job that has a whole head, where the length of its lease is known, and nothing has happened to it but that it was
-- stored: its record, how many bytes its payload has, and how long it has waited; nil where that is not so, and nil and true
-- where there is no room for the payload.
function moulds.begin_whole(text, owner, lease_of, takes)
  local head, position, instants_, payload, result, n, created, owned, event, settled_ = unpack_(WHOLE, text)
  if sub(head, 2) ~= READY_ONCE or instants_ ~= NEVER or result ~= NO_RESULT then return nil end
  if owned ~= NOBODY or settled_ ~= NO_SETTLEMENT then return nil end
  local bytes = sizes[payload] - 1
  if not takes(bytes) then return nil, true end
  local number = numbered(events.stamp(BEGUN_EVENT .. n .. SECOND))
  return sub(head, 1, 1) .. sub(BEGUN, 2) .. position .. begun[lease_of] .. payload .. NO_RESULT .. n .. created .. owner .. event
    .. number .. NO_SETTLEMENT .. sub(text, WHOLE_NAMED), bytes, step.now_ms - instants[sub(created, 1, 6)]
end

-- What the runs of a lease have in common that can end like one of them. `text` is the record of that one, the length of whose
-- owner, lease and numbers of events is told.
function moulds.of(text, lease_id, fence, number, started_ms, owner_bytes, history_bytes)
  local format = RUN .. 'c' .. digits(owner_bytes) .. 'c' .. digits(history_bytes) .. 'c1'
  local head, _, span, _, result, _, _, owner = unpack_(format, text)
  return {
    lease_id = lease_id, fence = fence, format = format, bytes = OWNED - 1 + owner_bytes + history_bytes + 1,
    head = head, span = span, result = result, owner = owner, lasted_ms = math.max(0, step.now_ms - started_ms),
    ended = sub(head, 1, 1) .. char(SUCCEEDED) .. sub(head, 3, 3) .. pack('>I2', number + 1) .. sub(head, 6, 7),
    over = sub(span, 1, 6) .. pack('>I6I6', step.now_ms, 0),
    history = '\0\0' .. char(history_bytes + records.EVENT_BYTES),
    event = pack('>I2I2', number + 1, fence), settled = {}, lengths = {},
  }
end

local function settled(mould, id)
  local found = mould.settled[#id]
  if found == nil then
    local whole = records.settled(mould.fence, mould.lease_id, id, 'succeeded')
    found = whole and char(#whole) .. sub(whole, 1, #whole - #id)
    mould.settled[#id] = found or false
  end
  return found
end

-- Let a run succeed that is like that of a mould: its record, its number, queue and task; nil of one that is not. `small` is what
-- of the result stands behind the record: a text is made once, whole, since Redis' Lua looks at each byte of one that it makes.
function moulds.settle(mould, text, settlement, result_bytes, small)
  if #text < mould.bytes then return nil end
  local head, position, span, payload, result, n, created, owner, history, none_ = unpack_(mould.format, text)
  if head ~= mould.head or span ~= mould.span or owner ~= mould.owner then return nil end
  local said = settled(mould, settlement)
  if result ~= mould.result or none_ ~= NO_SETTLEMENT or not said then return nil end
  local at = mould.bytes + 1
  look(text, at)
  local length = mould.lengths[result_bytes] or pack('>I3', result_bytes + 1)
  mould.lengths[result_bytes] = length
  local number = numbered(events.stamp(SUCCESS_EVENT .. n .. mould.event))
  return mould.ended .. position .. mould.over .. payload .. length .. n .. created .. mould.history .. history .. number
    .. said .. settlement .. sub(text, at) .. small, unpack_('>I5', n), queue, task
end
