-- log: reading the stream of events, and removing the oldest.
--
-- `trimmed` is the number of the last event that was removed. The first entry of the stream may hold events up to it:
-- an entry goes when all that are in it are to go.
-- spec: EVENT-1, EVENT-3, EVENT-4, EVENT-7, EVENT-8, KEEP-6

-- How many entries are read in one command: each holds all events of a step.
local ENTRIES = 16

-- The id by which cursors say in whose log they count; `made` is what it shall be if the log has none yet. EVENT-9
function log.storage_id(made)
  local found = rows.get('counters', 'storage_id')
  if not found then
    found = made
    rows.put('counters', 'storage_id', made)
  end
  return found
end

-- The number of the last event that was removed.
function log.trimmed()
  return counters.get('trimmed')
end

-- Entries that were opened lately, by the number of each of their events; how many they are, and may be.
local held, count = {}, 0
local HELD = 64

-- What is in an entry: its events, and the numbers of the first and the last of them.
local function opened(entry)
  local told, last = events.unpacked(entry[2][2]), tonumber(entry[1]:match('^%d+'))
  return {told = told, first = last - #told + 1, last = last}
end

-- Walk the events behind a number in their order, each with its number, until there are no more or `visit` says false.
function log.walk(after, visit)
  local number = math.max(after, log.trimmed())
  while true do
    local entries = call('XRANGE', key('events'), digits(number + 1) .. '-0', '+', 'COUNT', ENTRIES)
    if #entries == 0 then return end
    for _, entry in ipairs(entries) do
      local one = opened(entry)
      for place, event in ipairs(one.told) do
        local at = one.first + place - 1
        if at > number and visit(at, event) == false then return end
      end
      number = one.last
    end
  end
end

-- At most `limit` events behind a number: lists of number and event.
function log.after(number, limit)
  local found = {}
  log.walk(number, function(at, event)
    found[#found + 1] = {at, event}
    return #found < limit
  end)
  return found
end

-- The numbers in the log of events of a job that are kept, the oldest first, from a place among them on to another, both
-- counted from 1; and how many are kept. Only in the record may numbers stand that the log has no more.
function log.numbers_of(job, first, last)
  local listed, recent, found = call('LLEN', key('history', job.id)), {}, {}
  for _, number in ipairs(job.history or {}) do
    if number > log.trimmed() then recent[#recent + 1] = number end
  end
  if first <= math.min(last, listed) then
    for _, number in ipairs(call('LRANGE', key('history', job.id), first - 1, math.min(last, listed) - 1)) do
      found[#found + 1] = tonumber(number)
    end
  end
  for place = math.max(first, listed + 1), math.min(last, listed + #recent) do
    found[#found + 1] = recent[place - listed]
  end
  return found, listed + #recent
end

-- The number in the log of the last event of a job.
function log.last_of(job)
  local recent = job.history and job.history[#job.history]
  return recent or tonumber(call('LINDEX', key('history', job.id), -1) or 0)
end

local function open_at(number)
  local entry = call('XRANGE', key('events'), digits(number) .. '-0', '+', 'COUNT', 1)[1]
  if not entry then return end
  if count == HELD then held, count = {}, 0 end
  local one = opened(entry)
  for place, event in ipairs(one.told) do held[one.first + place - 1] = event end
  count = count + 1
end

-- The event of a number in the log; nil of one that is not there (any more).
function log.event(number)
  if not held[number] then open_at(number) end
  return held[number]
end

-- Remove so many of the oldest events. A job's numbers of those that it no longer has are forgotten with them, as far as
-- they stand in a list of their own.
function log.trim(count)
  local trimmed, seen, ns = log.trimmed() + count, {}, {}
  log.walk(trimmed - count, function(at, event)
    if at > trimmed then return false end
    if not seen[event[1]] then ns[#ns + 1] = event[1] end
    seen[event[1]] = (seen[event[1]] or 0) + 1
  end)
  for _, n in ipairs(ns) do
    local id = jobs.id_of(n)
    if id then call('LPOP', key('history', id), seen[n]) end
  end
  counters.put('trimmed', trimmed)
  call('XTRIM', key('events'), 'MINID', digits(trimmed + 1) .. '-0')
end

-- Who the jobs of some events are: for each number of a job {id, task, queue}, of its record or its tombstone.
function log.whose(found)
  local ns, ids, names = {}, {}, {}
  for _, one in ipairs(found) do
    local n = one[2][1]
    if not names[n] then
      names[n] = {}
      ns[#ns + 1] = n
    end
  end
  for place, n in ipairs(ns) do ids[place] = jobs.id_of(n) or tombstones.id_of(n) end
  jobs.fetch(ids)
  for place, n in ipairs(ns) do
    local id = ids[place]
    local who = jobs.get(id) or tombstones.of(id)
    names[n] = {id, who.task, who.queue}
  end
  return names
end

-- Events as they are told: {number in the log, id, task, queue, number within the job, row, source, target, fence,
-- instant, cause}; false for nothing.
function log.told(found)
  local names, answer = log.whose(found), {}
  for place, one in ipairs(found) do
    local n, number, row, source, target, fence, at_ms, cause = unpack(one[2])
    local who = names[n]
    answer[place] = {one[1], who[1], who[2], who[3], number, row, source, target, fence, at_ms, cause}
  end
  return answer
end
