-- retention: what the storage keeps of what is over, as it was set, and which of it is to go.
-- spec: KEEP-1, KEEP-2, KEEP-3, GONE-3, EVENT-7

local SHAPE = defaults.RetentionSpec

-- When upkeep goes on with what is over: claims come in between, since nobody waits for this.
retention.PACE_MS = 10

-- In the order in which upkeep looks at them.
retention.ENDED = {'succeeded', 'dead', 'cancelled'}

-- What was set, or what holds where nothing was.
function retention.spec()
  return setmetatable(rows.get('counters', 'retention') or {}, SHAPE)
end

function retention.put(spec)
  rows.put('counters', 'retention', spec)
end

-- What is kept of the jobs that ended in a state.
function retention.of_state(spec, state)
  return spec[state]
end

-- Whether neither a period nor a number bounds a kind.
function retention.forever(keep)
  return keep.for_ms == nil and keep.count == nil
end

-- Whether the period of a job that has ended is over; `keep_ms` is its own.
function retention.is_over(spec, keep_ms, state, finished_at_ms, now_ms)
  local for_ms = keep_ms or retention.of_state(spec, state).for_ms
  return for_ms ~= nil and now_ms >= finished_at_ms + for_ms
end

-- How long the id of a job is remembered: as long as its events may tell of it, at least.
function retention.tombstone_ms(spec)
  return math.max(spec.ids_ms, spec.events.for_ms or 0)
end

-- When upkeep has something to do next, if it has left something over.
function retention.soon(due_ms)
  return math.min(due_ms or retention.PACE_MS, retention.PACE_MS)
end

-- What happened at this instant or before is to go; below zero where no period is set.
function retention.since_ms(keep, now_ms)
  return keep.for_ms and now_ms - keep.for_ms or -1
end

-- How many are kept more than the bound.
function retention.excess(keep, number)
  return keep.count and math.max(0, number - keep.count) or 0
end

-- How many of the oldest rows of a kind are to go, which are over since `instants`, in their order; `number` are kept
-- in all.
function retention.going(keep, number, instants, now_ms)
  local over_ms, over = retention.since_ms(keep, now_ms), 0
  while over < #instants and instants[over + 1] <= over_ms do over = over + 1 end
  return math.max(over, math.min(retention.excess(keep, number), #instants))
end
