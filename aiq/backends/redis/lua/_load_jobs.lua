-- load_jobs: taking in what a job had in another storage. See aiq/model/moving.py.
--
-- A row of `arrived`, by job, is the number of the last of its events that has come; it is there while a storage is
-- loaded.
-- spec: MOVE-1, MOVE-2, STATE-4

-- A job's own numbers go on behind those that come from elsewhere.
local function take_number(n)
  if counters.get('jobs') < n then counters.put('jobs', n) end
end

local function restore_key(job, turn)
  take_number(turn.turn)
  if jobs.terminal(job) then return end
  local branch = job.parent_id and job.branch or {root = turn.turn, depth = 0}
  keys.restore(job, {turn = turn.turn, root = branch.root, depth = branch.depth, stand = turn.stand})
end

-- Put a job into its line, which is in the order in which jobs were held.
local function restore_hold(job, number, need)
  counters.put('holds', math.max(counters.get('holds'), number))
  holding.restore(job.id, {number = number, reason = job.held, by = job.held_by, need = need})
end

local function restore_death(job, grave, rising)
  if grave then
    graves.bury(job.id, {
      fingerprint = grave.fingerprint, n = job.n, died_at_ms = grave.died_at_ms, tokens = grave.tokens,
      usd_micros = grave.usd_micros, sample = grave.sample,
    })
  end
  if rising then
    graves.follow(job.id, {
      redrive_id = rising.redrive_id, fingerprint = rising.fingerprint, tokens = rising.tokens,
      usd_micros = rising.usd_micros,
    })
  end
end

-- The bytes of a job come in three pieces: payload, result, progress. Of the last two each may be missing.
local function put_bytes(job, one, place)
  jobs.put_payload(job.id, step.blob(place))
  if one.result then jobs.put_result(job.id, step.blob(one.result)) end
  if one.progress then jobs.put_progress(job.id, step.blob(one.progress)) end
  jobs.put_errors(job.id, one.errors or {})
end

-- A job, with its errors and the places of its bytes.
function load_jobs.take(one, place)
  if jobs.get(one.record.id) then return end
  local job = jobs.new(one.record)
  take_number(one.number)
  job.n, job.awaits = one.number, one.signal
  events.begin(job, one.since_ms)
  if (one.depth or 0) > 0 then job.branch = {root = one.root, depth = one.depth} end
  if one.turn then restore_key(job, one.turn) end
  put_bytes(job, one, place)
  jobs.put(nil, job)
  counters.put('positions', math.max(counters.get('positions'), job.position))
  if job.parent_id then call('ZADD', key('children', job.parent_id), digits(job.n), job.id) end
  if one.patience_end_ms then patience.begin(job, fairness.pool(job), one.patience_end_ms) end
  if job.held then restore_hold(job, one.held_at or 0, one.need or {}) end
  -- Items that are gone leave their numbers behind; the first that comes says where they begin.
  if job.chunks > 0 then items.keep(job.id, {ranges = {}, trimmed = job.chunks}) end
  restore_death(job, one.grave, one.rising)
end

-- What the last settlement of a job was answered.
function load_jobs.take_answer(one)
  local job = jobs.get(one.job_id)
  local settled = {one.fence, one.lease_id, one.id, one.state, one.late or false, one.step}
  rows.put('jobs', job.id, rows.with(job, {settled = settled}))
end

-- An edge into a job, flipped or not.
function load_jobs.take_edge(one)
  local place = fan_in.place(one.dependent, one.key or fan_in.DEPENDENCIES)
  local job = jobs.get(one.upstream)
  call('SADD', key('needed_by', job.id), place)
  if not job.needed then rows.put('jobs', job.id, rows.with(job, {needed = true})) end
  call('ZADD', key('edges_in', place), digits(one.succeeded and one.ended or -(one.ended or 0)), job.id)
  if (one.ended or 0) == 0 then call('ZADD', key('edges_out', job.id), 0, place) end
end

-- A step; its value stands at a place of the call.
function load_jobs.take_step(one, place)
  local told, job = one.step, jobs.get(one.job_id)
  if steps.get(job.id, told.key) then return end
  steps.put(job.id, told.key, {kind = told.kind, digest = told.digest, fence = told.fence}, step.blob(place))
  if job.finished_at_ms then ended.count_steps(job.id) end
end

-- A signal; those of a job come in the order in which they were sent.
function load_jobs.take_signal(one, place)
  local job = jobs.get(one.job_id)
  if signals.get(job.id, one.id) then return end
  local told = {name = one.name, bound = one.bound, kept = one.kept, over_ms = one.over_ms}
  signals.put(job, one.id, told, step.blob(place))
end

-- The number of the last item that has come.
local function last_item(job_id)
  local entry = call('XREVRANGE', key('stream', job_id), '+', '-', 'COUNT', 1)[1]
  return entry and tonumber(entry[1]:match('^%d+'))
end

-- An item; those of a job come in their order. The first says how many were removed before it.
function load_jobs.take_item(one, place)
  local job, chunk, last = jobs.get(one.job_id), one.chunk, last_item(one.job_id)
  if last and last >= chunk.number then return end
  local stream, data = items.of(job.id), step.blob(place)
  if not last then stream.trimmed = chunk.number - 1 end
  local told = cmsgpack.pack({chunk.kind, chunk.fence, chunk.at_ms, chunk.step or false, one.seq or false})
  call('XADD', key('stream', job.id), digits(chunk.number) .. '-0', 'm', told, 'd', data)
  if one.seq then
    appending.count(stream, chunk.fence, one.seq, chunk.number)
    if chunk.kind == 'progress' then jobs.put_progress(job.id, data) end
    local size = (job.stream_bytes or 0) + bounds.ITEM_OVERHEAD_BYTES + #data
    jobs.put(job, rows.with(job, {stream_bytes = size}))
  end
  items.keep(job.id, stream)
end

-- Numbers that one run emitted within one step.
function load_jobs.take_range(one)
  local stream = items.of(one.job_id)
  local last = stream.ranges[#stream.ranges]
  if last and last.first >= one.first then return end
  stream.ranges[#stream.ranges + 1] = {
    first = one.first, last = one.last, fence = one.fence, step = one.step, void = one.void,
  }
  items.keep(one.job_id, stream)
end

-- An event of a job, or of one that is gone; it comes behind all that have come.
function load_jobs.take_event(one)
  if (rows.get('arrived', one.job_id) or 0) >= one.number then return end
  rows.put('arrived', one.job_id, one.number)
  local job, stone = jobs.get(one.job_id), tombstones.of(one.job_id)
  local number = events.take({
    (job or stone).n, one.number, one.row, one.source or false, one.target, one.fence, one.at_ms, one.cause or false,
  })
  if job then
    local copy = rows.with(job, {})
    events.remember(copy, number)
    rows.put('jobs', job.id, copy)
  else
    rows.put('tombstones', one.job_id, rows.with(stone, {last = number}))
  end
end
