-- storing: storing jobs: T1 for a batch, and T24 when a run spawns children.
--
-- `taken` is what `unique.look_up` answers: by the id of a job whose key another has, that other one. The maps that the
-- caller has sent become the records; until then `payload` is the place of the bytes of each.
-- spec: ENQ-1, ENQ-3, ENQ-7, ENQ-8, FLOW-15, FLOW-16, CALL-17, CALL-18, HOLD-8, BUDGET-11, LIFO-2, QUEUE-1

-- What a spec says of its unique key and its deadline, which no record keeps.
local SPENT = {'expires_ms', 'unique_for_ms', 'on_unique'}

-- Read what the step is about to look at, in as few commands as there are tables.
local function fetch(batch, parent)
  local ids, own, known = {}, {}, {}
  local function add(id)
    if not known[id] then
      known[id] = true
      ids[#ids + 1] = id
    end
  end
  if parent then add(parent.job_id) end
  for place, spec in ipairs(batch) do
    jobs.new(spec)
    own[place] = spec.id
    add(spec.id)
    for _, id in ipairs(spec.depends_on) do add(id) end
  end
  jobs.fetch(ids)
  rows.fetch('tombstones', own)
  keys.fetch(batch)
end

local function check_parent(parent)
  if not parent then return end
  local lost = leases.lost_or_expired(jobs.get(parent.job_id), parent, step.now_ms)
  if lost then step.refuse('LeaseLost', {parent.job_id, lost}) end
end

-- The jobs of a batch whose keys others have.
local function look_up(batch)
  for _, spec in ipairs(batch) do
    if spec.unique then return unique.look_up(batch) end
  end
  return {}
end

local function refuse_conflict(id, text, reason)
  step.refuse('Conflict', {message = 'Job ' .. texts.quoted(id) .. text, reason = reason})
end

local function check_dependencies(spec, seen)
  for _, id in ipairs(spec.depends_on) do
    if not rows.has('jobs', id) and not seen[id] then
      local told = 'Job ' .. texts.quoted(spec.id) .. ' depends on ' .. texts.quoted(id) .. ', which is not stored.'
      step.refuse('NotFound', {id, told})
    end
  end
end

local function check_tombstone(spec, tombstone, parent)
  if (tombstone.digest or '') ~= spec.digest then
    refuse_conflict(spec.id, ' was stored with another content, and is gone. Its id is free again after a while.', 'content')
  end
  if parent then refuse_conflict(spec.id, ' was stored and is gone, so it cannot be spawned.', 'parent') end
end

-- Whether what stands under an id already counts for the wait under which it is spawned. spec: FLOW-16
local function is_child(stored, seen, parent, spec)
  if stored then return stored.parent_id == parent.job_id and stored.child_of == spec.child_of end
  return seen.child_of == spec.child_of
end

-- Look for conflicts and unknown dependencies, as if each job saw those before it; say which jobs are new.
local function check_ids(batch, taken, parent)
  local fresh, seen = {}, {}
  for _, spec in ipairs(batch) do
    if not taken[spec.id] then
      local stored, before = jobs.get(spec.id), seen[spec.id]
      local known = stored or before
      local tombstone = rows.get('tombstones', spec.id)
      if tombstone then
        check_tombstone(spec, tombstone, parent)
      elseif not known then
        check_dependencies(spec, seen)
        seen[spec.id] = spec
        fresh[#fresh + 1] = spec
      elseif known.digest ~= spec.digest then
        refuse_conflict(spec.id, ' is stored already, with another content.', 'content')
      elseif parent and not is_child(stored, before, parent, spec) then
        refuse_conflict(spec.id, ' is stored already, and not as a child of this wait.', 'parent')
      end
    end
  end
  return fresh
end

-- Refuse more children under one key than a fan-in takes.
local function check_children(batch, parent)
  if not parent then return end
  local counts, seen = {}, {}
  for _, spec in ipairs(batch) do
    if not seen[spec.id] and not jobs.get(spec.id) then
      seen[spec.id] = true
      counts[spec.child_of] = (counts[spec.child_of] or 0) + 1
    end
  end
  for _, child_of in ipairs(order.names(counts)) do
    local total = fan_in.wait(parent.job_id, child_of).total + counts[child_of]
    if total > bounds.MAX_DEPENDENCIES then
      local what = 'number of children under ' .. texts.quoted(child_of)
      step.refuse('TooLarge', {what, total, bounds.MAX_DEPENDENCIES, 'Make it a tree.'})
    end
  end
end

-- What a job that is stored, or is about to be, draws from admission with the content of a new one. spec: UNIQ-6
local function as_changed(spec, taken, fresh)
  local standing = jobs.get(taken.job_id)
  for _, one in ipairs(fresh) do
    if not standing and one.id == taken.job_id then standing = one end
  end
  return rows.with(standing, {estimate = spec.estimate or none})
end

-- Whether a job takes of limits or budgets: a plain one asks nobody.
local function takes(spec)
  return #spec.limits > 0 or #spec.routes > 0 or #spec.budgets > 0
end

-- What is stored of some budgets, with all their ancestors. None of those that are new has any descendant yet.
local function stored_budgets(brought)
  local found = {}
  local function climb(id)
    while id and not found[id] do
      found[id] = rows.get('budgets', id, defaults.BudgetSpec)
      id = found[id] and found[id].parent
    end
  end
  for _, spec in ipairs(brought) do
    climb(spec.id)
    climb(spec.parent)
  end
  return found
end

-- Refuse jobs that could never run, and say which budgets come with the others.
local function check_admission(batch, fresh, taken)
  local brought, created = {}, {}
  for _, spec in ipairs(fresh) do
    for _, budget in ipairs(spec.creates) do brought[#brought + 1] = budget end
  end
  if #brought > 0 then
    local expected = {}
    created = trees.to_store(stored_budgets(brought), brought, true)
    for _, budget in ipairs(created) do expected[budget.id] = budget end
    books.expect_budgets(expected)
  end
  for _, spec in ipairs(fresh) do
    if takes(spec) then booking.check_at_enqueue(spec) end
  end
  for _, spec in ipairs(batch) do
    local other = taken[spec.id]
    local changed = other and other.changes and as_changed(spec, other, fresh)
    if changed and takes(changed) then booking.check_at_enqueue(changed) end
  end
  return created
end

local function settings_of(queue)
  return rows.get('queues', queue) or {}
end

-- Refuse ordered jobs that could not start in their order.
local function check_order(fresh)
  for _, spec in ipairs(fresh) do
    if jobs.ordered(spec) then keys.check_order(spec, settings_of(spec.queue).lifo or false) end
  end
end

-- Whether a new job waits for no other one.
local function stands_at_once(spec)
  local bad = false
  for _, id in ipairs(spec.depends_on) do
    local job = jobs.get(id)
    if not job or not jobs.terminal(job) then return false end
    bad = bad or job.state ~= 'succeeded'
  end
  return not (bad and spec.on_upstream == 'fail')
end

-- Refuse a batch with more jobs that would stand ready or scheduled than a queue has room for.
local function check_room(fresh)
  local more, queues = {}, {}
  for _, spec in ipairs(fresh) do
    local queue = spec.queue
    if settings_of(queue).max_ready and stands_at_once(spec) then
      if not more[queue] then queues[#queues + 1] = queue end
      more[queue] = (more[queue] or 0) + 1
    end
  end
  for _, queue in ipairs(queues) do
    local bound, standing = settings_of(queue).max_ready, counters.unstarted(queue)
    if standing + more[queue] > bound then step.refuse('QueueFull', {queue, standing, bound}) end
  end
end

-- The record of a new job: what it was sent as, and where it comes from.
local function new_record(spec, parent)
  local until_ms = parent and jobs.get(parent.job_id).deadline_ms
  spec.deadline_ms = deadlines.effective_ms(spec, until_ms, step.now_ms)
  for _, name in ipairs(SPENT) do spec[name] = nil end
  spec.payload, spec.state, spec.wait_key = nil, 'waiting', fan_in.DEPENDENCIES
  spec.parent_id = parent and parent.job_id
  spec.created_at_ms = step.now_ms
  return spec
end

-- Where a new job stands. One that depends on a bad end never starts: upkeep ends it.
local function first_state(job)
  if #job.depends_on == 0 then return fan_in.started(job) end
  local wait = fan_in.wait(job.id, fan_in.DEPENDENCIES)
  if fan_in.doomed(job, wait) then
    outbox.append('die', job.id)
  elseif waits.pending(wait) == 0 then
    return fan_in.started(job)
  end
  return rows.with(job, {pending = waits.pending(wait)})
end

local function store_new(spec, parent)
  jobs.put_payload(spec.id, step.blob(spec.payload))
  if #spec.depends_on > 0 then fan_in.add_edges(spec.depends_on, spec.id, fan_in.DEPENDENCIES) end
  if spec.unique then unique.take_key(spec) end
  if parent then
    local above = jobs.get(parent.job_id)
    spec.branch = keys.branch_under(above.n, above.branch)
  end
  local job = transition.move('T1', nil, first_state(new_record(spec, parent)))
  if parent and spec.child_of then
    call('ZADD', key('children', parent.job_id), digits(job.n), spec.id)
    fan_in.add_edges({job.id}, parent.job_id, spec.child_of)
  end
  return job
end

local function store(spec, parent, taken)
  local known = jobs.get(spec.id)
  if known then return {job_id = spec.id, state = known.state, existed = true, by = 'id'} end
  local tombstone = rows.get('tombstones', spec.id)
  if tombstone then return {job_id = spec.id, state = tombstone.state, existed = true, by = 'id', gone = true} end
  if taken then return unique.answer(spec, taken) end
  return {job_id = spec.id, state = store_new(spec, parent).state}
end

-- Write what was found to be fine, each job as if it saw those before it.
local function store_all(batch, parent, taken, created)
  for _, budget in ipairs(created) do books.put_budget(budget) end
  local last, answers = counters.get('jobs'), {}
  for place, spec in ipairs(batch) do answers[place] = store(spec, parent, taken[spec.id]) end
  if parent and counters.get('jobs') > last then
    local spawner = jobs.get(parent.job_id)
    transition.move('T24', spawner, spawner)
  end
  return answers
end

-- Store a batch whole or not at all: everything is checked before anything is written. The answer is for each what
-- `Enqueued` says. spec: ENQ-1 to ENQ-8
function storing.enqueue(batch, parent)
  fetch(batch, parent)
  check_parent(parent)
  local taken = look_up(batch)
  local fresh = check_ids(batch, taken, parent)
  check_children(batch, parent)
  local created = check_admission(batch, fresh, taken)
  check_order(fresh)
  if not parent then check_room(fresh) end
  return store_all(batch, parent, taken, created)
end

-- Refuse a job that could never be stored as the storage stands; writes nothing. spec: SCHED-27
function storing.check_for_ever(spec)
  check_admission({spec}, {spec}, {})
  check_order({spec})
end
