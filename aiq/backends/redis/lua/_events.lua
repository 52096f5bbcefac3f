-- events: the log of transitions, and what is counted of them by minute.
--
-- The log is a stream. One step adds one entry, `e` with all its events; the id of the entry is the number of the last
-- of them. An event is a list: the job's number, its own number within the job, row, source, target, fence, instant,
-- cause. Id, task and queue are those of the job's record or, once it is gone, of its tombstone. In the entry they are
-- bytes of fixed places, with numbers for rows and states, behind the instant that they have in common.
-- A job's record keeps the numbers of its newest events, `history:ID` those before.
-- spec: EVENT-1, EVENT-2, EVENT-6, METRIC-1, METRIC-2

-- How many numbers a record keeps before it moves them to their own list.
local RECENT = 32

-- How an entry begins, and how an event stands in it: row, source and target, number of the job, own number, fence. One
-- that has not the instant of the entry, or has a cause or a large number, has these in a longer form.
local BEGUN, SHORT, LONG = '>i7', '>BBI5I2I2', '>BBI7I7I7i7Bc0'
local IS_LONG, STATES = 128, 16

local pending, begun_ms = {}, 0

local PLACES = metrics.PLACES
local FAILING = {T6 = true, T7 = true, T9 = true}

local ROWS = {T1 = 1, T3 = 3, T5 = 5}

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

-- Count new jobs of one queue and task, `number` of them.
function events.tally_new(same)
  raise(figures_now(same.queue, same.task), 'enqueued', same.number)
end

-- Count first runs that have begun, and runs that have succeeded, of one queue and task: `number` of them, together
-- `lasted_ms` in the state before, and at most `most_ms`.
function events.tally_starts(same)
  local figures = figures_now(same.queue, same.task)
  raise(figures, 'started', same.number)
  raise(figures, 'waited_ms', same.lasted_ms)
  most(figures, 'waited_most_ms', same.most_ms)
end

function events.tally_successes(same)
  local figures = figures_now(same.queue, same.task)
  raise(figures, 'ended', same.number)
  raise(figures, 'succeeded', same.number)
  raise(figures, 'ran_ms', same.lasted_ms)
  most(figures, 'ran_most_ms', same.most_ms)
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

local function append(n, number, row, source, target, fence, at_ms, cause)
  if #pending == 0 then begun_ms = at_ms end
  local row_, states_ = tonumber(row:sub(2)), (fields.STATE_NUMBERS[source] or 0) * STATES + fields.STATE_NUMBERS[target]
  if at_ms == begun_ms and not cause and n < 2 ^ 40 and number < 2 ^ 16 and fence < 2 ^ 16 then
    pending[#pending + 1] = struct.pack(SHORT, row_, states_, n, number, fence)
  else
    cause = cause or ''
    pending[#pending + 1] = struct.pack(LONG, row_ + IS_LONG, states_, n, number, fence, at_ms, #cause, cause)
  end
end

-- An event of an entry that stands at a place of it, and where the next one does.
local function opened(text, at, entry_ms)
  local row, states_ = text:byte(at, at + 1)
  local _, n, number, fence, at_ms, cause, after
  if row < IS_LONG then
    _, _, n, number, fence, after = struct.unpack(SHORT, text, at)
  else
    _, _, n, number, fence, at_ms, cause, after = struct.unpack(LONG, text, at)
  end
  local source, target = fields.STATES[math.floor(states_ / STATES)] or false, fields.STATES[states_ % STATES]
  local told = cause and cause ~= '' and cause or false
  return {n, number, 'T' .. row % IS_LONG, source, target, fence, at_ms or entry_ms, told}, after
end

-- Append a job's next event, and count it. `job` is the record that is about to be written in the place of `before`;
-- it is changed in place.
function events.log(row, before, job)
  local number, source = counters.raise('events'), before and before.state
  local cause = job.state == 'dead' and job.cause or false
  append(job.n, job.events, row, source, job.state, job.fence, step.now_ms, cause)
  events.remember(job, number)
  local lasted_ms = before and math.max(0, step.now_ms - events.since_ms(before)) or 0
  events.tally(figures_now(job.queue, job.task), row, source, job.state, lasted_ms)
  if job.state ~= source then events.begin(job, step.now_ms) end
end

-- Append an event that comes from another storage, and tell its number.
function events.take(event)
  append(unpack(event))
  return counters.raise('events')
end

-- Append the event of a plain job, between states by their numbers, and tell its number. It is not counted.
function events.plain(row, source, target, n, number, fence)
  local count = #pending
  if count == 0 then begun_ms = step.now_ms end
  pending[count + 1] = struct.pack(SHORT, ROWS[row], source * STATES + target, n, number, fence)
  return counters.raise('events')
end

-- The same of an event that is written already.
function events.stamp(text)
  local count = #pending
  if count == 0 then begun_ms = step.now_ms end
  pending[count + 1] = text
  return counters.raise('events')
end

-- The events of an entry of the log.
function events.unpacked(text)
  local begun_ms, at = struct.unpack(BEGUN, text)
  local found = {}
  while at <= #text do
    found[#found + 1], at = opened(text, at, begun_ms)
  end
  return found
end

-- Write what this step has appended, and wake whoever reads the log.
function events.flush()
  if #pending == 0 then return end
  step.wake('events')
  local entry = struct.pack(BEGUN, begun_ms) .. table.concat(pending)
  call('XADD', key('events'), digits(counters.get('events')) .. '-0', 'e', entry)
  pending = {}
end
