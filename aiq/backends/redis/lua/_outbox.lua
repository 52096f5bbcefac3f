-- outbox: what follows from a step and did not fit into it, and applying it.
--
-- `outbox` is a list of rows, the oldest first: {kind, job_id, key of the wait}. `outbox_rows` counts them by all three,
-- `outbox_jobs` by job. Each application looks again, so that twice has the effect of once. The counter `outbox_place` is
-- the last child that was looked at for the first row, where one application could not look at them all: its id, or its
-- number for those that are redriven.
-- spec: FAN-2, FAN-8, FLOW-3, FLOW-4, CANCEL-8, CANCEL-9, DEAD-16

-- How many jobs are looked at in one command.
local PAGE = 128

-- How many jobs this application has looked at, in vain too.
local looked = 0

-- By what a row is counted. Neither ids nor keys have a NUL.
function outbox.name(kind, job_id, wait_key)
  return table.concat({kind, job_id, wait_key or ''}, '\0')
end

-- Note what is to be done for a job: 'flip', 'die', 'cancel_rest', 'cancel_children' or 'redrive'.
function outbox.append(kind, job_id, wait_key)
  call('RPUSH', key('outbox'), cmsgpack.pack({kind, job_id, wait_key or ''}))
  counters.add('outbox_rows', outbox.name(kind, job_id, wait_key), 1)
  counters.add('outbox_jobs', job_id, 1)
end

-- Whether a row stands there already.
function outbox.holds(kind, job_id, wait_key)
  return rows.get('outbox_rows', outbox.name(kind, job_id, wait_key)) ~= nil
end

-- Whether nothing is left to be done.
function outbox.is_empty()
  return call('LLEN', key('outbox')) == 0
end

-- Whether something is left to be done for a job.
function outbox.names(job_id)
  return rows.get('outbox_jobs', job_id) ~= nil
end

local function take_first(kind, job_id, wait_key)
  call('LPOP', key('outbox'))
  if rows.get('counters', 'outbox_place') then rows.drop('counters', 'outbox_place') end
  counters.add('outbox_rows', outbox.name(kind, job_id, wait_key), -1)
  counters.add('outbox_jobs', job_id, -1)
end

-- Whether a cancel still has something to ask of a job.
local function to_be_asked(job)
  return not jobs.terminal(job) and not (job.state == 'running' and job.cancel_requested_at_ms)
end

-- Living children of a job behind an id, as far as this application may look: the ids of those that `is_meant` and for
-- whom there is room; whether there are others; and, where it may look no further, the last id that it has looked at.
local function children_of(job_id, is_meant, room, after)
  local found = {}
  repeat
    local from = after == '' and '-' or '(' .. after
    local ids = call('ZRANGEBYLEX', key('living', job_id), from, '+', 'LIMIT', 0, PAGE)
    jobs.fetch(ids)
    for _, id in ipairs(ids) do
      local child = jobs.get(id)
      if not child then
        -- Its row was removed by hand.
        call('ZREM', key('living', job_id), id)
      elseif is_meant(child) and to_be_asked(child) then
        if #found == room then return found, true end
        found[#found + 1] = id
      end
      after = id
    end
    looked = looked + #ids
    if looked >= bounds.MAX_LOOKED then return found, true, after end
  until #ids < PAGE
  return found, false
end

-- Cancel children that have not ended, by id, and ask those that run; who was asked is left alone.
--
-- Of a job with more children than one application may look at the next one goes on behind those. It is the first row
-- that is worked on, so one place is enough.
local function cancel_some(job_id, is_meant, room)
  local left, more, place = children_of(job_id, is_meant, room, rows.get('counters', 'outbox_place') or '')
  if place then rows.put('counters', 'outbox_place', place) end
  -- Read again: the end of one child may have moved another.
  for _, id in ipairs(left) do cancelling.cancel_job(jobs.get(id)) end
  return #left, not more
end

-- Whether a wait that has begun again is to see the end of a job that has ended before.
local function is_to_be_redriven(place, id)
  if tonumber(call('ZSCORE', key('edges_in', place), id) or nil) ~= 0 or not rows.has('jobs', id) then return false end
  return states.TERMINAL[jobs.standing(id)] == true
end

-- Children that are to be redriven since a wait has begun again, in the order of enqueueing, behind a number and as far as
-- this application may look: the ids of those for whom there is room; and, if there may be others, the last number that it
-- has looked at. Whoever was looked at once need not be looked at again: his end is told.
local function to_be_redriven(parent, place, room, after)
  local found = {}
  repeat
    local flat = call('ZRANGEBYSCORE', key('children', parent.id), '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, PAGE)
    local ids = {}
    for number = 1, #flat, 2 do ids[#ids + 1] = flat[number] end
    jobs.fetch(ids)
    for number, id in ipairs(ids) do
      local meant = is_to_be_redriven(place, id)
      if meant and #found == room then return found, after end
      if meant then found[#found + 1] = id end
      after = flat[2 * number]
    end
    looked = looked + #ids
    if looked >= bounds.MAX_LOOKED then return found, after end
  until #ids < PAGE
  return found, nil
end

-- Those that were detached from their parent since, which are among its children no more.
local function detached(parent, place, room)
  local found = {}
  for _, id in ipairs(call('ZRANGEBYSCORE', key('edges_in', place), 0, 0)) do
    if not call('ZSCORE', key('children', parent.id), id) and is_to_be_redriven(place, id) then
      if #found == room then return found, true end
      found[#found + 1] = id
    end
  end
  return found, false
end

local function redrive_or_count(parent, place, id)
  local child = jobs.get(id)
  if jobs.terminal(parent) or child.state == 'succeeded' then
    call('ZREM', key('edges_out', id), place)
    fan_in.count(place, child)
  else
    redriving.redrive_child(child, parent.id)
  end
end

-- Redrive children for which a job waits again. If it has ended since, they count as they have ended.
--
-- In the order of enqueueing, since a child may depend on one that was spawned before it. Of more children than one
-- application may redrive the next one goes on behind those. spec: DEAD-16
local function redrive_some(parent, wait_key, room)
  local place = fan_in.place(parent.id, wait_key)
  local left, after = to_be_redriven(parent, place, room, rows.get('counters', 'outbox_place') or '0')
  for _, id in ipairs(left) do redrive_or_count(parent, place, id) end
  if after then
    rows.put('counters', 'outbox_place', after)
    return #left, false
  end
  local others, more = detached(parent, place, room - #left)
  for _, id in ipairs(others) do redrive_or_count(parent, place, id) end
  return #left + #others, not more
end

-- End a job whose dependency ended badly, unless it has been ended since. spec: FLOW-3, FLOW-4
local function die(job)
  local wait = fan_in.wait(job.id, fan_in.DEPENDENCIES)
  if job.state ~= 'waiting' or not fan_in.doomed(job, wait) then return 0 end
  local upstream = jobs.get(wait.first_failed)
  jobs.put_errors(job.id, failures.appended(job, failures.upstream_failed(upstream), step.now_ms))
  ending.end_job('T12', job, rows.with(job, {state = 'dead', cause = 'upstream'}))
  return 1
end

-- What each kind does with at most `room`: how many jobs or edges it was, and whether the row is finished.
local APPLY = {
  flip = function(job, _, room)
    -- One with another generation flips them when that ends.
    if not jobs.terminal(job) then return 0, true end
    local done, more = fan_in.flip_edges(job, room)
    return done, not more
  end,
  die = function(job) return die(job), true end,
  cancel_rest = function(job, wait_key, room)
    -- Without its step the wait has begun again.
    if not steps.get(job.id, wait_key) then return 0, true end
    return cancel_some(job.id, function(child) return child.child_of == wait_key end, room)
  end,
  redrive = redrive_some,
  cancel_children = function(job, _, room)
    -- One with another generation waits for them.
    if not jobs.terminal(job) then return 0, true end
    return cancel_some(job.id, function(child) return child.on_parent == 'cancel' end, room)
  end,
}

-- Apply rows, the oldest first, until `limit` is used up; say how much of it was.
--
-- A row costs what it does, and at least 1, so that rows with nothing left to do cannot make a call long; and it ends
-- when it has looked at MAX_LOOKED jobs. What applying adds to the outbox comes behind, and still belongs to the same
-- call. spec: FAN-2, FAN-8
function outbox.apply_outbox(limit)
  local applied = 0
  looked = 0
  while applied < limit and looked < bounds.MAX_LOOKED do
    local text = call('LINDEX', key('outbox'), 0)
    if not text then return applied end
    local kind, job_id, wait_key = unpack(cmsgpack.unpack(text))
    local job, done, finished = jobs.get(job_id), 0, true
    -- Nothing follows for one whose row was removed by hand, and nobody is to wait behind it for ever.
    if job then done, finished = APPLY[kind](job, wait_key, limit - applied) end
    applied = applied + math.max(1, done)
    if finished then take_first(kind, job_id, wait_key) end
  end
  return applied
end
