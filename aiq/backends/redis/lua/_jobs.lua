-- jobs: the records of jobs, and the indexes that find one by its instant, its number or its state.
--
-- A record is a Lua table with the fields of `JobRecord`, read with `jobs.get`, changed by copying it (`rows.with`)
-- and written with `jobs.put`, which keeps every index in step. A field that is nothing, or as by default, is not
-- stored. Bytes and errors are apart: `jobs.payload`, `jobs.result`, `jobs.progress`, `jobs.errors`.
-- Fields of our own: `n` the number in the order of enqueueing, `since_ms` when it came into its state (`events`),
-- `go_ms` when retention looks at it if that is not by its finish, `history` the numbers of its newest events, `branch` where a
-- child stands in its tree (`keys`), `needed` whether an edge has led from it (`fan_in`), `settled` the last settlement
-- that took effect (`settle`), `awaits` the signal that it is suspended for.
-- spec: STATE-3, STORE-8

-- What is stored of records that the caller is given, by record: nothing changes them any more.
local packed = {}

local function at(name, id, old_ms, new_ms)
  if old_ms == new_ms then return end
  if new_ms then zsets.put(name, id, new_ms) else zsets.drop(name, id) end
end

local function grace_ms(job)
  local asked_ms = job.expires_at_ms and job.cancel_requested_at_ms
  return asked_ms and asked_ms + bounds.CANCEL_GRACE_MS or nil
end

local function deadline_ms(job)
  return not job.cancel_requested_at_ms and not states.TERMINAL[job.state] and job.deadline_ms or nil
end

local function due_ms(job, scheduled)
  return (job.state == 'scheduled') == scheduled and job.due_ms or nil
end

-- Let each index say when a job has something to happen to it. Most jobs have no instant but that of their lease.
local function index(before, job)
  local id = (before or job).id
  before, job = before or jobs.new({state = ''}), job or jobs.new({state = ''})
  if before.due_ms or job.due_ms then
    at('scheduled', id, due_ms(before, true), due_ms(job, true))
    at('timeouts', id, due_ms(before, false), due_ms(job, false))
  end
  if before.expires_at_ms or job.expires_at_ms then
    at('leases', id, before.expires_at_ms, job.expires_at_ms)
    at('graces', id, grace_ms(before), grace_ms(job))
  end
  if before.deadline_ms or job.deadline_ms then at('deadlines', id, deadline_ms(before), deadline_ms(job)) end
end

local function count(before, job)
  if before and job and before.state == job.state and before.queue == job.queue then return end
  if before then counters.count(before.queue, before.state, -1) end
  if job then counters.count(job.queue, job.state, 1) end
end

-- Whether a job counts against the bound of its queue. spec: QUEUE-1
function jobs.unstarted(job)
  return (job.state == 'ready' or job.state == 'scheduled') and job.fence == 0 and job.parent_id == nil
end

local function leave_place(before)
  if keys.leave_aside(before) then
    lanes.end_patience(before)
  else
    lanes.leave(before, fairness.pool(before))
  end
end

-- Let a job take its place among those that are ready, and leave the one that it had. One that changes in another way
-- keeps its place, behind a gate too.
local function stand(before, job)
  local was, is = before and jobs.unstarted(before), job and jobs.unstarted(job)
  if was then counters.unstart(before.queue, -1) end
  if is then counters.unstart(job.queue, 1) end
  local was_ready = before and before.state == 'ready'
  local is_ready = job and job.state == 'ready'
  if was_ready and is_ready and lanes.same_place(before, job) then return end
  if was_ready then leave_place(before) end
  if not is_ready then return end
  if keys.keeps_out(job) then keys.stand_aside(job) else lanes.join(job, fairness.pool(job)) end
end

-- `living:ID` are the children of a job that have not ended, by id.
local function live(before, job)
  local old = before and not jobs.terminal(before) and before.parent_id or nil
  local new = not jobs.terminal(job) and job.parent_id or nil
  if old == new then return end
  if old then call('ZREM', key('living', old), job.id) end
  if new then call('ZADD', key('living', new), 0, job.id) end
end

-- Read records that the step is about to look at, in one command.
function jobs.fetch(ids)
  rows.fetch('jobs', ids)
end

-- A record, or nil.
function jobs.get(id)
  return rows.get('jobs', id)
end

-- The state and the number of a job that is stored. Many are looked at for these alone, and a whole record takes ten times as
-- long.
function jobs.standing(id)
  local text = rows.stored('jobs', id)
  if text then
    local state, n = records.standing(text)
    if n > 0 then return state, n end
  end
  local job = jobs.get(id)
  return job.state, job.n
end

-- A record that is not stored yet, from what the caller has sent.
function jobs.new(job)
  return setmetatable(job, defaults.JobRecord)
end

-- What is stored of a record.
function jobs.pack(job)
  if packed[job] then return packed[job] end
  local behind = contents.behind(job)
  return records.pack(job) .. behind
end

-- A record as it was stored.
function jobs.unpack(id, text)
  local job, behind = records.read(id, text)
  contents.read(id, job, behind)
  return job
end

-- Whether a job has ended.
function jobs.terminal(job)
  return states.TERMINAL[job.state] == true
end

-- The attempt as users count it: 1 for the first. Of a dead job it is the last one, 0 if it never ran.
function jobs.attempt(job)
  return job.state == 'dead' and job.failures or job.failures + 1
end

-- Whether jobs of its key start in their order. spec: KEY-1
function jobs.ordered(job)
  return job.per_key > 0 and job.key ~= nil
end

local function route(job)
  return job.routes[job.route + 1]
end

-- The names of the limits that its runs take: those of its route, else its own.
function jobs.taken_limits(job)
  local found = route(job)
  if found then return found.limits or {} end
  return job.limits
end

-- The model that its runs call: that of its route, else of its estimate; empty where nobody said.
function jobs.model(job)
  local found = route(job)
  if found and (found.model or '') ~= '' then return found.model end
  return job.estimate and job.estimate.model or ''
end

-- The bytes of a job; nil where there are none.
function jobs.payload(id) return contents.get('payloads', id) or '' end
function jobs.result(id) return contents.get('results', id) end
function jobs.progress(id) return rows.bytes('progress', id) end
function jobs.put_payload(id, bytes) contents.put('payloads', id, bytes) end
function jobs.put_result(id, bytes) contents.put('results', id, bytes) end
function jobs.put_progress(id, bytes) rows.put_bytes('progress', id, bytes) end
function jobs.payload_size(id) return contents.size('payloads', id) end
function jobs.drop_result(id) contents.put('results', id, nil) end

-- The bytes of payload and result together, by which pages are measured.
function jobs.content_size(id)
  return plain.content_size(id) or contents.size('payloads', id) + contents.size('results', id)
end

-- The errors that are kept with a job, oldest first.
function jobs.errors(id)
  return rows.get('errors', id) or {}
end

function jobs.put_errors(id, errors)
  if #errors > 0 then rows.put('errors', id, errors) else rows.drop('errors', id) end
end

-- Records that are given to the caller, and their places in the answer.
local given, places = {}, {}
local PIECES = 6

-- Whether a job is in its first run, which has left nothing yet, but where it had died before it ever ran, and has another
-- generation.
local function is_first(job)
  return job.state == 'running' and job.fence == 1 and job.generation == 1
end

-- The errors of a job as they are stored, or false.
local function errors_of(id)
  local text = rows.stored('errors', id)
  if text then return text end
  local errors = jobs.errors(id)
  return #errors > 0 and cmsgpack.pack(errors)
end

local function pieces(job)
  local id, text = job.id, rows.stored('jobs', job.id)
  if not text then
    text = jobs.pack(job)
    packed[job] = text
  end
  return {
    text,
    contents.apart('payloads', id),
    job.state == 'succeeded' and contents.apart('results', id),
    job.chunks > 0 and jobs.progress(id) or false,
    not is_first(job) and errors_of(id),
    id,
  }
end

local function give()
  local others, ids = {}, {}
  plain.fetch()
  for number = 1, #given do
    if not plain.tell(given[number], places[number]) then others[#others + 1], ids[#ids + 1] = number, given[number] end
  end
  contents.fetch('payloads', ids)
  rows.fetch('errors', ids)
  for place, number in ipairs(others) do step.fill(places[number], pieces(jobs.get(ids[place]))) end
end

-- Give a record to the caller as the step leaves it. What is returned is the place of the first of its six pieces in
-- the answer: record, payload and result where they are not small, progress, errors and id; false in the place of one
-- that is not there.
function jobs.tell(id)
  return jobs.tell_all({id})[1]
end

-- The same of some.
function jobs.tell_all(ids)
  if #ids == 0 then return {} end
  local found, place, number = {}, step.room_for(PIECES * #ids), #given
  if number == 0 then step.at_end(give) end
  for one = 1, #ids do
    given[number + one], places[number + one], found[one] = ids[one], place, place
    place = place + PIECES
  end
  return found
end

-- Take the next number in the order of enqueueing.
function jobs.next_number()
  return counters.raise('jobs')
end

-- The ids of jobs by number, 128 to a table: Redis packs one that is no larger, into half of the room.
local NUMBERS = 128

-- Of a batch nearly all stand in the same one.
local last_number, last_table

local function table_of(n)
  local number = math.floor(n / NUMBERS)
  if number ~= last_number then last_number, last_table = number, 'numbers:' .. digits(number) end
  return last_table
end

local function place_of(n)
  return digits(n % NUMBERS)
end

-- Let a job be found by its number.
function jobs.put_number(n, id)
  rows.put_bytes(table_of(n), place_of(n), briefs.id(id))
end

-- The id of the job of a number, or nil.
function jobs.id_of(n)
  local brief = rows.bytes(table_of(n), place_of(n))
  return brief and briefs.whole(brief)
end

-- The ids of jobs that have a number or one behind it, in order, of one table of numbers, and the number with which the next
-- one begins; their records are fetched. What this step changes of the table is not seen.
function jobs.ids_from(first)
  local flat, named, ids = call('HGETALL', key(table_of(first))), {}, {}
  for place = 1, #flat, 2 do named[tonumber(flat[place])] = flat[place + 1] end
  for place = first % NUMBERS, NUMBERS - 1 do
    if named[place] then ids[#ids + 1] = briefs.whole(named[place]) end
  end
  jobs.fetch(ids)
  return ids, (math.floor(first / NUMBERS) + 1) * NUMBERS
end

-- These jobs. A table in which no number is left costs as much as one job.
function jobs.numbered(first)
  local ids, behind = jobs.ids_from(first)
  local found = {}
  -- The row of one may have been removed by hand: it hides none of those behind it.
  for _, id in ipairs(ids) do found[#found + 1] = jobs.get(id) end
  return found, behind
end

-- Write a record in the place of the one that stands there, `before`, and keep each index in step.
function jobs.put(before, job)
  if not before then
    job.n = job.n or jobs.next_number()
    jobs.put_number(job.n, job.id)
    if job.flow then counters.flow(job.flow, 1) end
  end
  count(before, job)
  ended.follow(before, job)
  rows.put('jobs', job.id, job)
  live(before, job)
  stand(before, job)
  index(before, job)
end

-- Remove a record that has ended, and what is stored of it here. What else names it is the caller's to remove; so is
-- the place that it has in the count of its flow.
function jobs.drop(job)
  index(job, nil)
  ended.leave(job)
  count(job, nil)
  for _, name in ipairs({'payloads', 'results', 'progress'}) do rows.put_bytes(name, job.id, false) end
  rows.put_bytes(table_of(job.n), place_of(job.n), false)
  call('UNLINK', key('history', job.id))
  rows.drop('errors', job.id)
  rows.drop('jobs', job.id)
end
