-- trim: removing what is kept for a while only, of jobs that stay: streams, events, minutes, use.
-- spec: KEEP-4, KEEP-5, KEEP-6, KEEP-7, KEEP-8, KEEP-9

-- How many of the rows of an order that are given with their instants, the oldest first, are to go.
local function many(keep, number, instants)
  return retention.going(keep, number, instants, step.now_ms)
end

-- The first of those that are to go, at most `limit`, and whether there are more.
local function cut(found, going, limit)
  local first = {}
  for place = 1, math.min(going, limit) do first[place] = found[place] end
  return first, going > limit
end

-- Leave its last item to the stream of a job that has ended. spec: KEEP-4
local function trim_streams(spec, limit)
  local found, number = ended.first('ended_streams', limit + 1)
  local instants = {}
  for place, one in ipairs(found) do instants[place] = one[1] end
  local old, more = cut(found, many(spec.streams, number, instants), limit)
  for _, one in ipairs(old) do
    local job = jobs.get(jobs.id_of(one[2]))
    if job then items.cut(job) else ended.lose(one[2]) end
  end
  return more
end

-- How many of the oldest events are to go, at most `most`. One that is not over keeps those behind it, whatever the clock
-- did.
local function old_events(keep, most)
  local over_ms, old = retention.since_ms(keep, step.now_ms), 0
  log.walk(log.trimmed(), function(_, event)
    if old == most or event[7] > over_ms then return false end
    old = old + 1
  end)
  return math.min(most, math.max(old, retention.excess(keep, counters.get('events') - log.trimmed())))
end

-- Remove the oldest events of the log, whosever they are. spec: KEEP-6
local function trim_events(spec, limit)
  local old = old_events(spec.events, limit + 1)
  if old > 0 then log.trim(math.min(old, limit)) end
  return old > limit
end

-- The first members of an order of texts that begin with an instant, {instant, member}, and how many there are in all.
local function first_texts(name, limit)
  local found = {}
  for place, member in ipairs(zsets.first(name, limit)) do
    found[place] = {tonumber(member:match('^%d+')), member}
  end
  return found, zsets.read('ZCARD', name)
end

local function trim_texts(name, keep, limit, remove)
  local found, number = first_texts(name, limit + 1)
  local instants = {}
  for place, one in ipairs(found) do instants[place] = one[1] end
  local old, more = cut(found, many(keep, number, instants), limit)
  for _, one in ipairs(old) do remove(one[2]) end
  return more
end

-- Remove the oldest minutes. spec: KEEP-7
local function trim_minutes(spec, limit)
  return trim_texts('minutes_in_order', spec.minutes, limit, events.forget_minute)
end

-- Remove the oldest use of tenants and of all; that of jobs and flows goes with them. spec: KEEP-8
local function trim_usage(spec, limit)
  return trim_texts('usage_kept', spec.usage, limit, consumption.trim)
end

-- Remove at most `limit` of each kind, the oldest first, and say whether more is over.
function trim.trim(limit)
  local spec = retention.spec()
  local more = trim_streams(spec, limit)
  more = trim_events(spec, limit) or more
  more = trim_minutes(spec, limit) or more
  return trim_usage(spec, limit) or more
end
