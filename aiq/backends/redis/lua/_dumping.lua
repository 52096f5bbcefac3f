-- dumping: everything that a storage holds, as records that any storage can take in, in the order in which they are to
-- be loaded: what others name comes first. See aiq/model/moving.py.
--
-- A record goes to the caller as {kind, fields, place of its first bytes, if it has some}.
-- spec: MOVE-1, MOVE-7

local page

local function tell(kind, fields, place, bytes)
  walks.put(page, {kind, fields, place}, bytes)
end

local function of_table(name, make)
  return walks.of_table(name, function(id, row) tell(make(id, row)) end)
end

local function of_limit(name, spec)
  -- Those of queues' own settings come with their queue.
  if not name:find('^queue:') then tell('limit', {spec = spec}) end
end

local function of_settings(name, settings)
  tell('queue', {name = name, paused = rows.get('paused', name) or false, settings = settings})
end

local function of_paused(name)
  if not rows.get('queues', name) then tell('queue', {name = name, paused = true, settings = {}}) end
end

local function of_level(place)
  local name, part = books.split_place(place)
  return 'level', {name = name, key = part, state = books.limit_state(name, part)}
end

local function of_balance(id, state)
  return 'balance', {budget = books.split_window(id), state = state}
end

local function next_in_order(name)
  return function(behind)
    local from = behind == '' and '-' or '(' .. behind
    local id = call('ZRANGEBYLEX', key(name), from, '+', 'LIMIT', 0, 1)[1]
    return id, id
  end
end

local function grants_of(budget_id)
  return walks.of_order(books.grants(budget_id), function(id, window_ms)
    tell('grant', {budget = budget_id, id = id, window_ms = window_ms})
  end)
end

local function of_prices(model, list)
  for _, one in ipairs(list) do
    tell('price', {row = {model = model, category = one[1], from_ms = one[2], usd_micros_per_million = one[3]}})
  end
end

local function of_learned(id, known)
  local task, model = id:match('^(%S+) (.*)$')
  local function figure(name) return known[name] or 0 end
  return 'learned', {
    task = task, model = model, output = figure('output'), outputs = figure('outputs'), input = figure('input'),
    inputs = figure('inputs'),
  }
end

local function of_key(spot)
  local queue, name = spot:match('^([^%z]*)%z(.*)$')
  local state = keys.state(spot)
  return 'key', {
    queue = queue, key = name, per_key = state.per_key, places = state.places, holders = state.holders,
    line = state.line, paused = state.paused,
  }
end

local function of_unique(id, row)
  local task, name = id:match('^([^%z]*)%z(.*)$')
  return 'unique', {
    task = task, key = name, job_id = row.job_id, how = row.how or 'keep', last_id = row.last_id,
    last_digest = row.last_digest or '', until_ms = row.until_ms, state = row.state,
  }
end

local function of_stone(id, stone)
  return 'tombstone', {
    id = id, digest = stone.digest or '', state = stone.state, task = stone.task, queue = stone.queue,
    until_ms = stone.until_ms,
  }
end

local function of_remains(place)
  local id = place:match('^%d+ (.*)$')
  local remains = rows.get('remains', id)
  tell('remains', {job_id = id, parent_id = remains.parent_id, flow = remains.flow, due_ms = remains.due_ms})
end

local function tell_log()
  local at_ms = trim_jobs.results_mark()[1]
  tell('log', {trimmed = log.trimmed() > 0, retention = rows.get('counters', 'retention') or {}, results_ms = at_ms})
end

local function of_log(place, into)
  local last = tonumber(place) or log.trimmed()
  local found = log.after(last, into.rows)
  for _, one in ipairs(log.told(found)) do tell('event', {event = one}) end
  return #found > 0 and digits(found[#found][1]) or nil
end

local function of_minute(id)
  tell('minute', {id = id, figures = rows.get('minutes', id)})
end

local function of_line(name, line)
  return 'line', {
    queue = lanes.spot_named(name).queue, pool = line.pool, band = line.band, tenant = line.tenant or '',
    service = line.service or 0,
  }
end

local function of_pool(id, pool)
  local queue, name = lanes.split_pool(id)
  local served = pool.served
  if name ~= '' and served then tell('pool', {queue = queue, name = name, served = served}) end
end

local function used(scope, owner, place, row)
  local minute_ms, model, category = consumption.split(place)
  tell('usage', {
    scope = scope, owner = owner, minute_ms = minute_ms, model = model, category = category, tokens = row[1],
    usd_micros = row[2], unpriced = row[3], estimated = row[4],
  })
end

local function usage_of(scope)
  return function(owner)
    return consumption.walk(scope, owner, function(place, row) used(scope, owner, place, row) end)
  end
end

local function of_kept(member)
  local scope, owner, place = consumption.split_kept(member)
  used(scope, owner, place, consumption.row(scope, owner, place))
end

local function usage_of_remains(place)
  return usage_of('job')(place:match('^%d+ (.*)$'))
end

local function next_remains(behind)
  local rank = tonumber(behind) or 0
  local place = call('ZRANGE', key('remains_due'), rank, rank)[1]
  if place then return digits(rank + 1), place end
end

local function of_schedule(name)
  local status, place = unpack(calendar.tell(name))
  tell('schedule', {status = status}, place)
end

local function of_outgoing(text)
  local kind, job_id, wait_key = unpack(cmsgpack.unpack(text))
  tell('outgoing', {kind = kind, job_id = job_id, key = wait_key})
end

-- The walks, in the order in which their records are loaded.
local WALKS = {
  walks.of_table('limits', of_limit),
  walks.of_table('queues', of_settings),
  walks.of_table('paused', of_paused),
  of_table('limit_states', of_level),
  of_table('budgets', function(_, spec) return 'budget', {spec = spec} end),
  of_table('budget_states', of_balance),
  walks.of_owners(next_in_order('budget_ids'), grants_of),
  walks.of_table('prices', of_prices),
  of_table('learned', of_learned),
  of_table('weights', function(tenant, weight) return 'tenant', {tenant = tenant, weight = weight} end),
  of_table('keys', of_key),
  of_table('unique', of_unique),
  of_table('groups', function(_, group) return 'group', {group = group} end),
  walks.of_each_job(function(job) tell(dump_jobs.whole(job)) end),
  walks.of_jobs(function(job) return dump_jobs.waits(job, tell) end),
  walks.of_jobs(function(job) return dump_jobs.edges(job, tell) end),
  walks.of_jobs(function(job) return dump_jobs.steps(job, tell) end),
  walks.of_each_job(function(job)
    if job.settled then tell(dump_jobs.answer(job)) end
  end),
  walks.of_jobs(function(job) return dump_jobs.signals(job, tell) end),
  walks.of_jobs(function(job) return dump_jobs.items(job, tell) end),
  walks.of_jobs(function(job) return dump_jobs.ranges(job, tell) end),
  of_table('tombstones', of_stone),
  tell_log,
  of_log,
  function(place, into) return walks.of_order(key('minutes_in_order'), of_minute)(place, into) end,
  function(place, into) return walks.of_order(key('remains_due'), of_remains)(place, into) end,
  of_table('lines', of_line),
  walks.of_table('pools', of_pool),
  of_table('reservations', function(_, reservation) return 'reservation', {reservation = reservation} end),
  of_table('letting_go', function(line, room)
    local reason, by = line:match('^(%l+) (.*)$')
    return 'room', {reason = reason, by = by, left = room.left, granted = room.granted or false}
  end),
  walks.of_jobs(function(job) return usage_of('job')(job.id) end),
  walks.of_owners(next_remains, usage_of_remains),
  walks.of_owners(next_in_order('flow_names'), usage_of('flow')),
  function(place, into) return walks.of_order(key('usage_kept'), of_kept)(place, into) end,
  function(place, into) return walks.of_order(key('schedule_names'), of_schedule)(place, into) end,
  function(place, into) return walks.of_texts(key('outbox'), of_outgoing)(place, into) end,
}

-- A page of records, and where to go on: the number of the walk, from 0, and the place in it; nil at the end.
function dumping.page(number, place, limit, bytes)
  if number >= #WALKS then
    step.refuse('InvalidInput', {'This is not a cursor. Pass the one that came with the page before, or None.'})
  end
  page = walks.page(limit, bytes)
  local left = WALKS[number + 1](place, page)
  if left then return page.found, number, left end
  if number + 1 < #WALKS then return page.found, number + 1, '' end
  return page.found
end
