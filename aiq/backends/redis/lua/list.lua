-- list: read jobs in the order they were enqueued.
-- flags: allow-oom,no-writes
-- looks
-- args: query (a `JobFilter`; `states` is a set), place (the number from which on to look), limit, bytes (how many bytes
--   of payloads and results one answer has room for)
-- returns: found (the places of records), place (where to go on, or nil where there is nothing more to look at)
-- spec: STORE-8, STORE-13, STORE-14, STORE-15, DEAD-9

local query = args.query
local FIELDS = {'queue', 'task', 'flow', 'parent_id', 'tenant'}
local RANGES = {created = 'created_at_ms', ended = 'finished_at_ms', due = 'due_ms'}

local function is_within(range, at_ms)
  if not range then return true end
  return at_ms ~= nil and (not range.since_ms or at_ms >= range.since_ms)
    and (not range.until_ms or at_ms < range.until_ms)
end

local function matches(job)
  for _, name in ipairs(FIELDS) do
    if query[name] and query[name] ~= job[name] then return false end
  end
  if next(query.states) and not query.states[job.state] then return false end
  for name, field in pairs(RANGES) do
    if not is_within(query[name], job[field]) then return false end
  end
  if not query.fingerprint then return true end
  local death = graves.death(job.id)
  return death ~= nil and death.fingerprint == query.fingerprint
end

-- How many jobs one step looks at, where it may look at MAX_LOOKED: all others wait for it, and whoever lists goes on.
local MOST_SEEN = 512

-- What is asked of a job; of a plain one as little as may be.
local function seen(id)
  return plain.seen(id, query.flow or query.tenant) or jobs.get(id)
end

-- Up to one more job than are asked for, and where to go on; nil if there is nothing more to look at. Numbers of jobs that
-- are gone lead to nothing: a whole table of them takes less than one job.
local function ahead()
  local found, looked, empty, newest, first = {}, 0, 0, counters.get('jobs'), args.place
  while first <= newest do
    local ids, behind = jobs.ids_from(first)
    local any = false
    for place = 1, #ids do
      local job = seen(ids[place])
      if job and (looked == MOST_SEEN or #found > args.limit) then return found, job.n end
      if job then
        looked, any = looked + 1, true
        if matches(job) then found[#found + 1] = job end
      end
    end
    if not any then
      if looked + empty >= bounds.MAX_LOOKED then return found, first end
      empty = empty + 1
    end
    first = behind
  end
  return found, nil
end

local found, place = ahead()
local told, room = {}, args.bytes
for number = 1, math.min(args.limit, #found) do
  if room <= 0 then break end
  told[number] = jobs.tell(found[number].id)
  room = room - jobs.content_size(found[number].id)
end
if #told < #found then place = found[#told].n + 1 end
return {found = told, place = place}
