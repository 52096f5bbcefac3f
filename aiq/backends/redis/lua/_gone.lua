-- gone: what is over goes: a job that has ended, and everything that belongs to it (T18).
--
-- A row of `remains` is a job that is gone while children of its own, or what these have left, are still stored:
-- parent_id, flow, due_ms and `place`, its name in `remains_due`, which has them in the order in which upkeep looks.
-- `remains_of:JOB` are the children of a job that have left some.
-- spec: GONE-1, GONE-2, GONE-4, GONE-5, GONE-6, GONE-8, KEEP-9, KEEP-11

-- How many dependents, or children, are read in one command.
local PAGE = 256

-- Whether a dependent at a place needs a job: it is stored, waits for this one, and has not succeeded.
local function needs(place, id)
  local job = jobs.get((fan_in.of_place(place)))
  if not job or job.state == 'succeeded' then return false end
  return call('ZSCORE', key('edges_in', place), id) ~= false
end

-- Whether a job that waits for it is stored, and has not succeeded.
--
-- Who has succeeded stays so, and is not looked at twice. Of a job with more dependents than one step may look at it is
-- said that somebody needs it.
function gone.is_needed(job)
  if not job.needed then return false end
  local looked = 0
  repeat
    local places = call('SRANDMEMBER', key('needed_by', job.id), PAGE)
    local ids = {}
    for number, place in ipairs(places) do ids[number] = fan_in.of_place(place) end
    jobs.fetch(ids)
    for _, place in ipairs(places) do
      if needs(place, job.id) then return true end
    end
    if #places > 0 then call('SREM', key('needed_by', job.id), unpack(places)) end
    looked = looked + #places
  until #places == 0 or looked >= bounds.MAX_LOOKED
  return looked >= bounds.MAX_LOOKED
end

-- Whether nobody needs a job any more that may have ended.
function gone.may_go(job)
  if not jobs.terminal(job) or outbox.names(job.id) then return false end
  return call('EXISTS', key('living', job.id)) == 0 and not gone.is_needed(job)
end

-- Of jobs that may go those that do in one upkeep, which has room for so many bytes: the last is the one that reaches
-- that.
function gone.that_fit(may, room)
  local found = {}
  for place, job in ipairs(may) do
    if room <= 0 then break end
    found[place] = job
    room = room - jobs.content_size(job.id)
  end
  return found
end

-- Forget the waits of a job, which are at most MAX_STEPS, and the edges to it, at most MAX_DEPENDENCIES to each; say how many
-- these were. Those from it are looked at when those to whom they lead go.
local function forget_waits(id)
  local count = 0
  for wait_key in pairs(rows.all('waits:' .. id)) do
    local place = fan_in.place(id, wait_key)
    local open = call('ZRANGEBYSCORE', key('edges_in', place), 0, 0)
    for _, upstream in ipairs(open) do call('ZREM', key('edges_out', upstream), place) end
    call('UNLINK', key('edges_in', place))
    count = count + 1 + #open
  end
  rows.empty('waits:' .. id)
  return count
end

-- Whether children of a job are stored, or were and have left some of their own.
local function has_family(id)
  return call('EXISTS', key('children', id), key('remains_of', id)) > 0
end

local function put_off(id, remains, due_ms)
  rows.put('remains', id, rows.with(remains, {due_ms = due_ms}))
  call('ZADD', key('remains_due'), digits(due_ms), remains.place)
end

-- Remember that something of a job that is gone is still to be done. Those that went first come first.
function gone.put_remains(id, parent_id, flow, due_ms)
  local before = rows.get('remains', id)
  local place = before and before.place or string.format('%016.0f %s', counters.raise('remains'), id)
  if parent_id then call('SADD', key('remains_of', parent_id), id) end
  put_off(id, {parent_id = parent_id, flow = flow, place = place}, due_ms)
end

-- Forget the use of a job of which no child is left, and its budget; those of its flow with the last of that.
local function finish(id, parent_id, flow)
  books.forget_account('job', id)
  if flow then
    counters.flow(flow, -1)
    if not rows.get('flows', flow) then books.forget_account('flow', flow) end
  end
  local parent = parent_id and rows.get('remains', parent_id)
  if parent and parent.due_ms > step.now_ms then put_off(parent_id, parent, step.now_ms) end
end

local function finish_remains(id)
  local remains = rows.get('remains', id)
  rows.drop('remains', id)
  call('ZREM', key('remains_due'), remains.place)
  if remains.parent_id then call('SREM', key('remains_of', remains.parent_id), id) end
  finish(id, remains.parent_id, remains.flow)
end

-- Remove a job that may go, with all that is its own, and remember its id. Its children are left to upkeep.
--
-- One with more calls, or more that was sent to it, than there is room for loses so many of these rows, and goes another
-- time. The answer is how many rows it was, and whether the job is gone.
function gone.gone(job, room)
  local id = job.id
  local count, whole = books.forget_calls(job, room)
  if not whole then return count, false end
  local sent
  sent, whole = signals.forget(job, room - count)
  count = count + sent
  if not whole then return count, false end
  tombstones.remember(job, step.now_ms + retention.tombstone_ms(retention.spec()))
  deaths.forget_death(job)
  if job.parent_id then call('ZREM', key('children', job.parent_id), id) end
  if job.needed then call('UNLINK', key('needed_by', id), key('edges_out', id)) end
  count = count + forget_waits(id)
  trim_jobs.forget(job)
  jobs.drop(job)
  if has_family(id) then
    gone.put_remains(id, job.parent_id, job.flow, step.now_ms)
  else
    finish(id, job.parent_id, job.flow)
  end
  step.wake_job(id)
  step.wake('stream:' .. id)
  return count, true
end

-- Remove jobs that may go, as long as there is room for their rows, and say which of them are gone, by id, and how many;
-- how many bytes these had; and how much room is left.
function gone.all(going, room)
  local done, count, size = {}, 0, 0
  for _, job in ipairs(going) do
    if room <= 0 then break end
    local bytes, rows_, is_gone = jobs.content_size(job.id), gone.gone(job, room)
    room = room - rows_
    if is_gone then done[job.id], count, size = true, count + 1, size + bytes end
  end
  return done, count, size, room
end

-- Of the children of a job, in the order of enqueueing, at most `limit` that may go; and whether there is any child.
local function that_may_go(id, limit)
  local found, first = {}, 0
  repeat
    local ids = call('ZRANGE', key('children', id), first, first + PAGE - 1)
    jobs.fetch(ids)
    for _, child in ipairs(ids) do
      if #found == limit then break end
      local job = jobs.get(child)
      if job and gone.may_go(job) then found[#found + 1] = job end
    end
    first = first + #ids
  until #ids < PAGE or #found == limit or first >= bounds.MAX_LOOKED
  return found, first > 0
end

-- The jobs that are gone and of which something may be done now, the first ones first.
local function due(limit)
  local places = call('ZRANGEBYSCORE', key('remains_due'), '-inf', digits(step.now_ms), 'LIMIT', 0, limit)
  local ids = {}
  for number, place in ipairs(places) do ids[number] = place:match('^%d+ (.*)$') end
  rows.fetch('remains', ids)
  return ids
end

-- Let the children of jobs that are gone go too, and then their budgets and use; say how many jobs went, how many bytes with
-- them, and how much room they have left for rows.
function gone.clear_remains(limit)
  local ids, may, busy, parents = due(limit), {}, {}, {}
  for _, id in ipairs(ids) do
    local found, any = that_may_go(id, limit - #may)
    for _, child in ipairs(found) do may[#may + 1] = child end
    busy[id], parents[id] = #found > 0 or #may == limit, any
  end
  local _, count, size, room = gone.all(gone.that_fit(may, bounds.MAX_PURGED_BYTES), bounds.MAX_PURGED_ROWS)
  for _, id in ipairs(ids) do
    if not has_family(id) then
      finish_remains(id)
    elseif not busy[id] and parents[id] then
      put_off(id, rows.get('remains', id), step.now_ms + bounds.PUT_OFF_MS)
    end
  end
  return count, size, room
end

-- Whether upkeep has something to go on with of jobs that are gone.
function gone.anything_remains()
  return #due(1) > 0
end
