-- redriving: giving jobs that ended badly another generation: T17, and what they wait for again.
--
-- A request is a `Redrive` without its targets and its payload: `blob` is the place of the bytes of that, if there is
-- another one.
-- spec: DEAD-11 to DEAD-20, DEAD-23, DEAD-26

local REVIVED = {dead = true, cancelled = true}
local FRESH = 1

local function conflict(message, reason)
  return {message = message, reason = reason}
end

local function has_route(job, name)
  for number, route in ipairs(job.routes) do
    if route.name == name then return number - 1 end
  end
  return nil
end

-- Why a job is not redriven, as what a `Conflict` is made of; nil if it may be.
-- `orphaned` says that it is a child whose parent has ended, `doomed_by` names a dependency for which it cannot run.
-- spec: DEAD-12, DEAD-13, DEAD-14, DEAD-15, DEAD-17
function redriving.refusal(job, generation, request, orphaned, doomed_by)
  local name = 'Job ' .. texts.quoted(job.id)
  if job.generation ~= generation then
    return conflict(string.format('%s is in generation %.0f, not %.0f: it was redriven. Look at it again.', name,
      job.generation, generation), 'generation')
  elseif not REVIVED[job.state] then
    return conflict(name .. ' is ' .. job.state .. '; only what is dead or cancelled is redriven.', 'state')
  elseif orphaned and not request.detach then
    return conflict(name .. ' is a child of ' .. texts.quoted(job.parent_id)
      .. ', which has ended. Redrive that one, or detach this.', 'parent_terminal')
  elseif doomed_by then
    return conflict(name .. ' depends on ' .. texts.quoted(doomed_by)
      .. ', which has ended badly. Redrive that one first.', 'upstream')
  elseif jobs.ordered(job) and (request.queue or job.queue) ~= job.queue then
    return conflict(name .. ' stands in the line of its key ' .. texts.quoted(job.key) .. ', so it stays in queue '
      .. job.queue .. '.', 'key')
  elseif request.route and not has_route(job, request.route) then
    return conflict(name .. ' has no route ' .. texts.quoted(request.route) .. '.', 'route')
  end
  return nil
end

-- Why a job is not redriven whose unique key another has. spec: DEAD-23
function redriving.key_taken(job)
  return conflict('Another job has the unique key ' .. texts.quoted(job.unique) .. ' of job ' .. texts.quoted(job.id)
    .. '. Redrive this when that has ended.', 'unique')
end

-- A job at the beginning of its next generation, but for its state. spec: DEAD-11, DEAD-14, DEAD-17, DEAD-19
function redriving.anew(job, request)
  return rows.with(job, {
    generation = job.generation + 1,
    failures = 0,
    stalls = 0,
    cause = none,
    late = false,
    cancel_requested_at_ms = none,
    deadline_ms = none,
    route = request.route and has_route(job, request.route) or 0,
    closed_routes = 0,
    resumes = false,
    deferred_at_ms = none,
    queue = request.queue or job.queue,
    band = request.band or job.band,
    budgets = request.budget and {request.budget} or job.budgets,
    parent_id = request.detach and none or job.parent_id or none,
    -- Retention looks at it by its next end.
    go_ms = none,
  })
end

-- Where the job at a place of the list, counted from 0, goes. spec: DEAD-11, DEAD-15, DEAD-16, DEAD-18
function redriving.first_change(request, place, waits_under)
  if waits_under then return {state = 'waiting', lane = FRESH, wait_key = waits_under} end
  local delay_ms = settling.clamp((request.delay_ms or 0) + place * (request.spread_ms or 0))
  if delay_ms > 0 then return {state = 'scheduled', lane = FRESH, due_ms = step.now_ms + delay_ms} end
  return {state = 'ready', lane = FRESH}
end

-- A wait on children as it begins again, without those that ended badly; nil if it stays as it is.
-- `seen` says that the run saw it end, and died of something else. spec: DEAD-16
function redriving.reopened(wait, seen)
  local again = rows.with(wait, {failed = 0, first_failed = none})
  if seen or wait.failed == 0 or waits.verdict(again) then return nil end
  return again
end

local function is_orphan(job)
  if not job.parent_id then return false end
  local parent = jobs.get(job.parent_id)
  return not parent or jobs.terminal(parent)
end

-- The waits on children of a job that may be given another generation, and the children that ended badly in these.
local function others(target)
  local job, count = jobs.get(target.job_id), 0
  if not job or job.generation ~= target.generation or not REVIVED[job.state] then return 0 end
  for wait_key, wait in pairs(rows.all('waits:' .. job.id, defaults.Wait)) do
    if wait_key ~= fan_in.DEPENDENCIES then count = count + 1 + wait.failed end
  end
  return count
end

-- Refuse a redrive of several jobs for which a step would look at too much, before that is looked at: a record is as large as
-- the dependencies that it names. spec: DEAD-26
function redriving.check_edges(targets)
  local ids, total = {}, 0
  local function add(count)
    total = total + count
    if #targets > 1 and total > bounds.MAX_DEPENDENCIES then
      local what = 'number of jobs that a redrive waits for'
      step.refuse('TooLarge', {what, total, bounds.MAX_DEPENDENCIES, 'Send it in several parts.'})
    end
  end
  for number, target in ipairs(targets) do
    ids[number] = target.job_id
    add(fan_in.wait(target.job_id, fan_in.DEPENDENCIES).total)
  end
  jobs.fetch(ids)
  for _, target in ipairs(targets) do add(others(target)) end
end

-- The jobs on which one depends that has not run, as they stand now: how many there are, at most MAX_DEPENDENCIES; what its
-- wait has counted of each, as `edges_in` has it; those that have ended, {id, number, whether it succeeded}, in the order of
-- enqueueing, since to sort texts takes four times as long; and those that have not, and that the wait has counted.
local function dependencies(job)
  local found = {total = 0, counted = {}, ended = {}, reopened = {}}
  if job.fence > 0 or #job.depends_on == 0 then return found end
  local flat, ids = call('ZRANGE', key('edges_in', fan_in.place(job.id, fan_in.DEPENDENCIES)), 0, -1, 'WITHSCORES'), {}
  for place = 1, #flat, 2 do ids[#ids + 1] = flat[place] end
  jobs.fetch(ids)
  for place, id in ipairs(ids) do
    local state, n = jobs.standing(id)
    found.counted[id] = tonumber(flat[2 * place])
    if states.TERMINAL[state] then
      found.ended[#found.ended + 1] = {id, n, state == 'succeeded'}
    elseif found.counted[id] ~= 0 then
      found.reopened[#found.reopened + 1] = id
    end
  end
  table.sort(found.ended, function(one, other) return one[2] < other[2] end)
  found.total = #ids
  return found
end

-- The first dependency, by id, that keeps a job from ever running.
local function doomed_by(job, upstream)
  if job.on_upstream == 'continue' then return nil end
  local found = nil
  for _, one in ipairs(upstream.ended) do
    local id, _, succeeded = unpack(one)
    if not succeeded and (not found or order.less(id, found)) then found = id end
  end
  return found
end

-- Let edges be flipped again.
local function open(place, ids)
  local scored = {}
  for _, id in ipairs(ids) do
    scored[id] = 0
    call('ZADD', key('edges_out', id), 0, place)
  end
  fan_in.put_edges(place, scored)
end

-- Count those that have ended. What the wait has counted of each is written where it differs.
local function recount(place, upstream)
  local wait, scored = setmetatable({total = upstream.total}, defaults.Wait), {}
  for _, one in ipairs(upstream.ended) do
    local id, _, succeeded = unpack(one)
    if upstream.counted[id] == 0 then call('ZREM', key('edges_out', id), place) end
    wait = waits.counted(wait, id, succeeded)
    local done = wait.succeeded + wait.failed
    local score = succeeded and done or -done
    if score ~= upstream.counted[id] then scored[id] = score end
  end
  fan_in.put_edges(place, scored)
  return wait
end

-- Count the dependencies of a job that has not run as they stand now; its wait, if some have not ended. Of those that have not
-- ended, and that it has waited for, nothing is to be written. spec: DEAD-15
local function await_dependencies(job, upstream)
  if upstream.total == 0 then return nil end
  local place = fan_in.place(job.id, fan_in.DEPENDENCIES)
  open(place, upstream.reopened)
  local wait = recount(place, upstream)
  fan_in.put_wait(job.id, fan_in.DEPENDENCIES, wait)
  if fan_in.doomed(job, wait) then
    outbox.append('die', job.id)
    return wait
  end
  return waits.pending(wait) > 0 and wait or nil
end

local function begin_again(job, wait_key, wait)
  steps.drop(job.id, wait_key)
  fan_in.put_wait(job.id, wait_key, wait)
  local place = fan_in.place(job.id, wait_key)
  -- Below zero stand those that had ended badly.
  open(place, call('ZRANGEBYSCORE', key('edges_in', place), '-inf', -1))
  outbox.append('redrive', job.id, wait_key)
end

-- Begin the waits on children again that the job has to see end. The first of those, with its key. Waits are steps, and
-- so at most MAX_STEPS; each is of at most MAX_DEPENDENCIES children. spec: DEAD-16
local function await_children(job)
  local first = nil
  local standing_by = rows.all('waits:' .. job.id, defaults.Wait)
  for _, wait_key in ipairs(order.names(standing_by)) do
    local remembered = wait_key ~= fan_in.DEPENDENCIES and steps.get(job.id, wait_key)
    local seen = remembered and job.cause ~= 'child'
    local wait = wait_key ~= fan_in.DEPENDENCIES and redriving.reopened(standing_by[wait_key], seen) or nil
    if wait then
      begin_again(job, wait_key, wait)
      first = first or {key = wait_key, wait = wait}
    end
  end
  return first
end

local function remembers(job, request)
  return not request.forget_steps and job.remembers and steps.count(job.id) > 0
end

-- Give a job its next generation; `place` is its own in the list of targets, counted from 0.
local function begin(job, request, place, upstreams)
  deaths.leave_group(job, request.id)
  if request.forget_steps then steps.empty(job.id) end
  if request.detach and job.parent_id then call('ZREM', key('children', job.parent_id), job.id) end
  items.void_marker(job)
  local upstream = await_dependencies(job, upstreams)
  local children = await_children(job)
  local wait = upstream or children and children.wait
  local wait_key = upstream and fan_in.DEPENDENCIES or children and children.key
  local changes = redriving.first_change(request, place, wait_key)
  changes.pending = wait and waits.pending(wait) or 0
  changes.remembers = remembers(job, request)
  if request.blob then jobs.put_payload(job.id, step.blob(request.blob)) end
  return transition.move('T17', job, rows.with(redriving.anew(job, request), changes))
end

-- Redrive a child for whose end a parent waits again, which it may have been detached from. spec: DEAD-16
function redriving.redrive_child(job, parent_id)
  begin(job, {id = 'parent ' .. parent_id}, 0, dependencies(job))
end

-- Redrive one job, or say why not: `conflict` is what the error is made of; nothing stands for a job that is not here.
function redriving.redrive(request, place, target)
  local job = jobs.get(target.job_id)
  if not job then return {} end
  local before = job.generation > 1 and graves.following(job.id)
  if before and before.redrive_id == request.id and job.generation == target.generation + 1 then
    return {state = job.state, generation = job.generation, existed = true}
  end
  local upstream = dependencies(job)
  local refused = redriving.refusal(job, target.generation, request, is_orphan(job), doomed_by(job, upstream))
  if refused then return {conflict = refused} end
  if job.unique and not unique.retake_key(job) then return {conflict = redriving.key_taken(job)} end
  local begun = begin(job, request, place, upstream)
  return {state = begun.state, generation = begun.generation}
end
