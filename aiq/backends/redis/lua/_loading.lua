-- loading: taking in what another storage held. A record is {kind, fields, place of its first bytes}; what stands there
-- already changes nothing. See aiq/model/moving.py.
-- spec: MOVE-1, MOVE-2

local TAKE = {}

function TAKE.limit(one) books.put_limit(one.spec.name, one.spec) end

function TAKE.queue(one)
  queues.configure(one.name, one.settings or {}, one.limit)
  if one.paused then rows.put('paused', one.name, true) end
end

function TAKE.level(one)
  books.put_limit_state(one.name, one.key or '', setmetatable(one.state, defaults.LimitState))
end

function TAKE.budget(one) books.put_budget(setmetatable(one.spec, defaults.BudgetSpec)) end

function TAKE.balance(one) books.put_budget_state(one.budget, setmetatable(one.state, defaults.BudgetState)) end

function TAKE.grant(one) call('ZADD', books.grants(one.budget), digits(one.window_ms), one.id) end

function TAKE.price(one)
  local row = one.row
  local listed = prices.with(books.prices(row.model), {row.category, row.from_ms or 0, row.usd_micros_per_million})
  rows.put('prices', row.model, listed)
end

function TAKE.learned(one)
  local known = {output = one.output, outputs = one.outputs, input = one.input, inputs = one.inputs}
  books.put_learned(one.task, one.model, known)
end

function TAKE.tenant(one) rows.put('weights', one.tenant, one.weight) end

function TAKE.key(one)
  local told = {per_key = one.per_key, places = one.places, holders = one.holders, line = one.line, paused = one.paused}
  rows.put('keys', keys.spot(one.queue, one.key), setmetatable(told, defaults.KeyState))
end

function TAKE.unique(one)
  unique.put(unique.key_of({task = one.task, unique = one.key}), {
    job_id = one.job_id, how = one.how, last_id = one.last_id, last_digest = one.last_digest, until_ms = one.until_ms,
    state = one.state,
  })
end

function TAKE.group(one) graves.put_group(setmetatable(one.group, defaults.DeadGroup)) end

function TAKE.job(one, place) load_jobs.take(one, place) end

function TAKE.answer(one) load_jobs.take_answer(one) end

function TAKE.wait(one)
  local wait = rows.with(setmetatable(one.wait, defaults.Wait), {key = none})
  fan_in.put_wait(one.job_id, one.wait.key or fan_in.DEPENDENCIES, wait)
end

function TAKE.edge(one) load_jobs.take_edge(one) end

function TAKE.step(one, place) load_jobs.take_step(one, place) end

function TAKE.signal(one, place) load_jobs.take_signal(one, place) end

function TAKE.item(one, place) load_jobs.take_item(one, place) end

function TAKE.range(one) load_jobs.take_range(one) end

function TAKE.tombstone(one)
  if tombstones.of(one.id) then return end
  tombstones.put(one.id, {
    n = jobs.next_number(), digest = one.digest, state = one.state, task = one.task, queue = one.queue,
    until_ms = one.until_ms, last = 0,
  })
end

function TAKE.log(one)
  retention.put(one.retention)
  trim_jobs.mark_results(one.results_ms or -1, 0)
  if one.trimmed and log.trimmed() == 0 then
    counters.put('trimmed', 1)
    counters.put('events', math.max(1, counters.get('events')))
  end
end

function TAKE.event(one) load_jobs.take_event(one.event) end

function TAKE.minute(one)
  local row = one.row
  local figures = events.minute(row.minute_ms, row.queue, row.task)
  for place, number in ipairs(row.figures) do figures[place] = number end
end

function TAKE.remains(one)
  if one.flow and not rows.get('remains', one.job_id) then counters.flow(one.flow, 1) end
  gone.put_remains(one.job_id, one.parent_id, one.flow, one.due_ms)
end

function TAKE.line(one)
  local spot = lanes.spot(one.queue, one.pool, one.band, one.tenant)
  lanes.put_line(one.queue, rows.with(lanes.line(one.queue, spot), {
    service = one.service, wake_at_ms = 0, parked_by = '',
  }))
end

function TAKE.pool(one) lanes.put_pool(rows.with(lanes.pool(one.queue, one.name), {served = one.served})) end

function TAKE.reservation(one) books.put_reservation(one.reservation) end

function TAKE.room(one)
  holding.leave_over(holding.line_of(one.reason, one.by), {left = one.left or {}, granted = one.granted or false})
end

function TAKE.usage(one)
  consumption.put(one.scope, one.owner, one.minute_ms, consumption.line(one.model, one.category), {
    one.tokens, one.usd_micros, one.unpriced, one.estimated,
  })
end

function TAKE.schedule(one) calendar.restore(one.status) end

function TAKE.outgoing(one)
  if not outbox.holds(one.kind, one.job_id, one.key) then outbox.append(one.kind, one.job_id, one.key) end
end

-- Take in records.
function loading.take(records)
  for _, record in ipairs(records) do TAKE[record[1]](record[2], record[3]) end
end

-- Let the storage begin to take in a move, or go on with it; say whether it has not been taken in yet.
-- spec: MOVE-2, MOVE-4, MOVE-5, MOVE-9
function loading.begin(move_id)
  local shut, move = retire.shut(), rows.get('counters', 'move') or {}
  if shut.moved_to then step.refuse('Moved', {shut.moved_to}) end
  if not shut.loading then
    if move.loaded == move_id then return false end
    if call('EXISTS', key('jobs')) == 1 then
      local text = 'This storage holds jobs already. Load into an empty one.'
      step.refuse('Conflict', {message = text, reason = 'occupied'})
    end
    rows.put('counters', 'shut', {loading = move_id})
  elseif shut.loading ~= move_id then
    local text = 'Another move is being loaded here, ' .. shut.loading .. '.'
    step.refuse('Conflict', {message = text, reason = 'occupied'})
  end
  return true
end

-- Open the storage: all has come.
function loading.finish(move_id)
  rows.drop('counters', 'shut')
  rows.put('counters', 'move', rows.with(rows.get('counters', 'move') or {}, {loaded = move_id}))
  rows.empty('arrived')
  step.wake('*')
end
