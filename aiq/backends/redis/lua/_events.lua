-- events: the log of transitions, and what is counted of them by minute.
--
-- The log is a stream. One step adds one entry, `e` with all its events; the id of the entry is the number of the last
-- of them. An event is a list: the job's number, its own number within the job, row, source, target, fence, instant,
-- cause. Id, task and queue are those of the job's record or, once it is gone, of its tombstone. In the entry rows and
-- states are numbers, and instants count from the one that the entry begins with.
-- A job's record keeps the numbers of its newest events, `history:ID` those before.
-- spec: EVENT-1, EVENT-2, EVENT-6, METRIC-1, METRIC-2

-- How many numbers a record keeps before it moves them to their own list.
local RECENT = 32

local pending = {}

local PLACES = metrics.PLACES
local FAILING = {T6 = true, T7 = true, T9 = true}

local at_hand = {}

-- The figures of the minute of this step, which are asked for again and again.
local function figures_now(queue, task)
  local of_queue = at_hand[queue] or {}
  at_hand[queue] = of_queue
  local figures = of_queue[task] or events.minute(step.now_ms, queue, task)
  of_queue[task] = figures
  return figures
end

-- The figures of a minute, queue and task, to be changed in place. Its id begins with the minute in 16 digits, so that
-- the order of texts is that of (minute, queue, task).
function events.minute(at_ms, queue, task)
  local id = string.format('%016.0f %s %s', at_ms - at_ms % metrics.MINUTE_MS, queue, task)
  local figures = rows.get('minutes', id)
  if not figures then
    figures = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
    call('ZADD', key('minutes_in_order'), 0, id)
  end
  rows.put('minutes', id, figures)
  return figures
end

-- Forget the figures of a minute.
function events.forget_minute(id)
  rows.drop('minutes', id)
  call('ZREM', key('minutes_in_order'), id)
end

local function raise(figures, name, by)
  figures[PLACES[name]] = figures[PLACES[name]] + by
end

local function most(figures, name, value)
  figures[PLACES[name]] = math.max(figures[PLACES[name]], value)
end

-- Count what was used; a correction may be below zero. spec: METRIC-3
function events.count_use(figures, tokens, usd_micros)
  raise(figures, 'tokens', tokens)
  raise(figures, 'usd_micros', usd_micros)
end

-- Count a transition; the job was in `source` for `lasted_ms`.
function events.tally(figures, row, source, target, lasted_ms)
  local stops = source == 'running' and target ~= 'running'
  if row == 'T1' then raise(figures, 'enqueued', 1) end
  if stops then raise(figures, 'ended', 1) end
  if FAILING[row] and target ~= 'cancelled' then
    raise(figures, 'failed', 1)
    if target == 'ready' or target == 'scheduled' then raise(figures, 'retried', 1) end
  end
  if states.TERMINAL[target] then raise(figures, target, 1) end
  if row == 'T3' then
    raise(figures, 'started', 1)
    raise(figures, 'waited_ms', lasted_ms)
    most(figures, 'waited_most_ms', lasted_ms)
  elseif stops then
    raise(figures, 'ran_ms', lasted_ms)
    most(figures, 'ran_most_ms', lasted_ms)
  end
end

-- Keep the number of a job's newest event. The record is changed in place.
function events.remember(job, number)
  local history = {}
  for place, one in ipairs(job.history or {}) do history[place] = one end
  history[#history + 1] = number
  if #history > RECENT then
    -- Those that the log has no more are forgotten, so that all that stand in the list are in the log.
    local kept = {}
    for _, one in ipairs(history) do
      if one > log.trimmed() then kept[#kept + 1] = digits(one) end
    end
    call('RPUSH', key('history', job.id), unpack(kept))
    history = {}
  end
  job.history = history
end

-- An instant that a record has anyway, and at which most jobs came into their state.
local function usual_ms(job)
  return job.finished_at_ms or job.started_at_ms or job.created_at_ms
end

-- When a job came into its state.
function events.since_ms(job)
  return job.since_ms or usual_ms(job)
end

-- Note when a job came into its state. The record is changed in place.
function events.begin(job, at_ms)
  job.since_ms = at_ms ~= usual_ms(job) and at_ms or nil
end

-- Append a job's next event, and count it. `job` is the record that is about to be written in the place of `before`;
-- it is changed in place.
function events.log(row, before, job)
  local number, source = counters.raise('events'), before and before.state
  local cause = job.state == 'dead' and job.cause or false
  pending[#pending + 1] = {job.n, job.events, row, source or false, job.state, job.fence, step.now_ms, cause}
  events.remember(job, number)
  local lasted_ms = before and math.max(0, step.now_ms - events.since_ms(before)) or 0
  events.tally(figures_now(job.queue, job.task), row, source, job.state, lasted_ms)
  if job.state ~= source then events.begin(job, step.now_ms) end
  step.wake('events')
end

-- Append an event that comes from another storage, and tell its number.
function events.take(event)
  pending[#pending + 1] = event
  return counters.raise('events')
end

local function packed(begun_ms)
  local told = {begun_ms}
  for place, event in ipairs(pending) do
    local n, number, row, source, target, fence, at_ms, cause = unpack(event)
    local after_ms = at_ms - begun_ms
    told[place + 1] = {
      n, number, tonumber(row:sub(2)), fields.STATE_NUMBERS[source] or 0, fields.STATE_NUMBERS[target], fence,
      (after_ms ~= 0 or cause) and after_ms or nil, cause or nil,
    }
  end
  return cmsgpack.pack(told)
end

-- The events of an entry of the log.
function events.unpacked(text)
  local told, found = cmsgpack.unpack(text), {}
  for place = 2, #told do
    local n, number, row, source, target, fence, after_ms, cause = unpack(told[place])
    found[place - 1] = {
      n, number, 'T' .. row, fields.STATES[source] or false, fields.STATES[target], fence, told[1] + (after_ms or 0), cause or false,
    }
  end
  return found
end

-- Write what this step has appended.
function events.flush()
  if #pending == 0 then return end
  call('XADD', key('events'), digits(counters.get('events')) .. '-0', 'e', packed(pending[1][7]))
  pending = {}
end
