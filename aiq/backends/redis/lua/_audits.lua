-- audits: what the audit finds in one slice. Every check reads what is stored as it is and trusts no operation.
--
-- A check of a row gets its id and `tell(clause, text, job_id)`, which takes what is wrong; without an id it is about the
-- row that is looked at. What can be known of all slices together only is added up: `audits.sum` takes what is found and,
-- below zero, what is stored of it, and all of it together is to be 0. So what counts or lists jobs is held against the
-- jobs themselves.
-- spec: STATE-3

-- What a slice has found so far: what is wrong, what it adds up, and the positions of ready jobs; and of gates {name,
-- what is wrong} of each that nobody will tell unless a job in a lane does, and the names of those that one will tell.
audits.violations, audits.sums, audits.positions, audits.shut, audits.open = {}, {}, {}, {}, {}

-- Add something up under a kind and a name.
function audits.sum(kind, name, by)
  local whole = kind .. '\0' .. name
  audits.sums[whole] = (audits.sums[whole] or 0) + by
end

-- Add up that something stands in a sorted set.
function audits.stands(name, by)
  audits.sum('set', name, by or 1)
end

local function teller(id)
  return function(clause, text, job_id)
    audits.violations[#audits.violations + 1] = {clause, job_id or id, text}
  end
end

-- What a table counts is what was found.
local function counted(name)
  return function(id) audits.sum(name, id, -rows.get(name, id)) end
end

-- What a table counts of queues, whose names its ids begin with, too.
local function counted_of_queues(name)
  local count = counted(name)
  return function(id)
    count(id)
    local queue = id:match('^[^ ]+')
    if queue ~= counters.ALL then audit_lanes.of_queue(queue) end
  end
end

-- What a table has of jobs is of those that are stored.
local function owned(what)
  return function(id, tell)
    if not jobs.get(id) then tell('GONE-1', 'it is not stored, and has ' .. what) end
  end
end

-- What is looked at of each table: a function that takes the id of a row, and what is to be told of it.
audits.PARTS = {
  counts = counted_of_queues('counts'),
  unstarted = counted('unstarted'),
  crowds = counted_of_queues('crowds'),
  flows = counted('flows'),
  outbox_jobs = counted('outbox_jobs'),
  outbox_rows = counted('outbox_rows'),
  held = counted('held'),
  step_counts = counted('step_counts'),
  line_counts = counted('line_counts'),
  budget_parents = counted('budget_parents'),
  payloads = owned('a payload'),
  results = owned('a result'),
  progress = owned('progress'),
  errors = owned('errors'),
  streams = owned('a stream'),
  patience = owned('patience'),
  aside = owned('a place behind a gate'),
  holds = owned('a place among those that are held'),
  keyed = owned('a place at its key'),
  queues = audit_lanes.of_queue,
  pools = audit_lanes.of_pool,
  gates = audit_lanes.of_gate,
  lines = audit_lanes.of_line,
  keys = audit_keys.of_spot,
  unique = function(id, tell)
    if rows.get('unique', id).until_ms then audits.stands('unique_windows') end
    audit_keys.of_unique(id, tell)
  end,
  groups = function(id, tell)
    audits.stands('groups_by_last_seen')
    audits.stands('groups_by_dead')
    if graves.group(id).dead == 0 then audits.stands('groups_at_rest') end
    audit_graves.of_group(id, tell)
  end,
  limits = audit_accounts.of_limit,
  deaths = audit_graves.of_row,
  following = audit_graves.of_row,
  reservations = audit_accounts.of_reservation,
  waiting = audit_accounts.of_waiting,
  open_calls = audit_accounts.of_open_calls,
  limit_states = audit_accounts.of_level,
  budget_states = audit_accounts.of_balance,
  budgets = audit_accounts.of_budget,
  schedules = function(name, tell) audit_rest.of_schedule(calendar.get(name), tell) end,
  tombstones = audit_rest.of_tombstone,
  remains = audit_rest.of_remains,
  reshapes = function() audits.stands('reshaping'); audits.sum('counter', 'reshapes', 1) end,
  letting_go = function() audits.stands('lines_left'); audits.sum('counter', 'letting_go', 1) end,
  workers = function() audits.stands('workers_by_name'); audits.stands('workers_by_beat') end,
  minutes = function() audits.stands('minutes_in_order') end,
}

-- A row that cannot be read is told of, and stops nobody from looking at the others.
local function look_at(id, check)
  local tell = teller(id)
  local fine, why = pcall(check, id, tell)
  if not fine then
    tell('STATE-3', 'what is stored of it cannot be read: ' .. (type(why) == 'table' and why.err or tostring(why)))
  end
end

local function look_at_rows(part, cursor, slice)
  local page = call('HSCAN', key(part), cursor == '' and '0' or cursor, 'COUNT', slice)
  for place = 1, #page[2], 2 do look_at(page[2][place], audits.PARTS[part]) end
  return page[1] ~= '0' and page[1] or nil, #page[2] / 2
end

-- Go through jobs by their numbers: those that were stored together have their events together. `visit(job, inner, left)`
-- says where within the job the next slice goes on, nil for nowhere, and how much it has looked at.
local function through_jobs(cursor, slice, visit)
  local number, inner = cursor:match('^(%d+) ?(.*)$')
  local first, newest, looked = tonumber(number) or 1, counters.get('jobs'), 0
  while first <= newest do
    local some, behind = jobs.numbered(first)
    for place, job in ipairs(some) do
      if looked >= slice then return digits(job.n), looked end
      local left, more = visit(job, place == 1 and job.n == first and inner or '', slice - looked)
      looked = looked + math.max(1, more)
      if left then return digits(job.n) .. ' ' .. left, looked end
    end
    if #some == 0 then looked = looked + 1 end
    first, inner = behind, ''
    if looked >= slice and first <= newest then return digits(first), looked end
  end
  return nil, looked
end

local function look_at_jobs(cursor, slice)
  return through_jobs(cursor, slice, function(job)
    audits.sum('table', 'jobs', 1)
    look_at(job.id, function(id, tell) audit_jobs.of_job(jobs.get(id), tell) end)
    return nil, 1
  end)
end

local function look_at_waits(cursor, slice)
  return through_jobs(cursor, slice, function(job, inner, room)
    local left, looked
    look_at(job.id, function(_, tell) left, looked = audit_waits.of_job(job, inner, room, tell) end)
    return left, looked or 1
  end)
end

-- What is looked at in other ways: a function that takes where to begin, how much to look at, and what is to be told of
-- it, and says where to go on, and how much it has looked at.
local OTHERS = {
  jobs = look_at_jobs,
  waits = look_at_waits,
  log = audit_rest.of_log,
  outbox = audit_rest.of_outbox,
  counters = audit_rest.of_counters,
}

-- All parts, in the order in which they are looked at.
local ORDER = {
  'jobs', 'waits', 'pools', 'gates', 'lines', 'queues', 'keys', 'unique', 'groups', 'deaths', 'following', 'log', 'outbox', 'schedules', 'reservations',
  'waiting', 'open_calls', 'limits', 'limit_states', 'budget_states', 'budgets', 'tombstones', 'remains', 'letting_go', 'reshapes', 'payloads', 'results',
  'progress', 'errors', 'streams', 'patience', 'aside', 'holds', 'keyed', 'counts', 'unstarted', 'crowds', 'flows',
  'outbox_jobs', 'outbox_rows', 'held', 'step_counts', 'line_counts', 'budget_parents', 'workers', 'minutes', 'counters',
}

-- Look at a slice of about so many rows, from a place in a part on; the answer is where the next one begins, nil at the
-- end.
function audits.look(number, cursor, slice)
  while ORDER[number] do
    local part, left, looked = ORDER[number], nil, 0
    if OTHERS[part] then
      left, looked = OTHERS[part](cursor, slice, teller(''))
    else
      left, looked = look_at_rows(part, cursor, slice)
    end
    slice = slice - (looked or 0)
    if not left then number = number + 1 end
    cursor = left or ''
    if slice <= 0 and ORDER[number] then return number, cursor end
  end
end

-- Take off what stands in some sorted sets.
function audits.measure(names)
  for _, name in ipairs(names) do audits.stands(name, -call('ZCARD', key(name))) end
end

-- Take off what stands in a lane on some shelves, from a rank on, each of which has members, and none of another's; the
-- answer is the rank to go on with, nil at the end.
function audits.measure_shelves(lane, rank, most)
  local found, left = shelves.look(lane, rank, most)
  local tell = teller('')
  for _, shelf in ipairs(found) do
    local what = 'shelf ' .. shelf.name .. ' of ' .. lane
    audits.stands(lane, -shelf.size)
    if shelf.size == 0 then tell('STATE-3', what .. ' is listed, and is not there') end
    if shelf.astray > 0 then tell('STATE-3', what .. ' has ' .. digits(shelf.astray) .. ' that belong on another one') end
  end
  return left
end
