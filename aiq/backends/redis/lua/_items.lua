-- items: the numbered output of a job, and what the store itself writes there: resets, and the marker at the end.
--
-- `stream:JOB` is a stream of Redis: the item of number n has the id n-0, its bytes `d`, and `m`, a list in msgpack: kind,
-- fence, instant, step or false, its number within the run or false. The row of `streams` by job: `ranges`, in which runs
-- have appended data within one step each ({first, last, fence, step, void}, in their order); `trimmed`, the number of
-- the last item that was removed; `run`, of the newest run its fence, how many items it has appended, and from which of
-- them on (`starts`) their numbers are those from another one on.
-- The record has `stream_bytes`, what the items that runs have appended take of MAX_STREAM_BYTES.
-- spec: chapter 8

local MARKERS = {succeeded = 'end', dead = 'error', cancelled = 'cancelled'}

-- What this step has added, and not yet written: {job, number, what is said of it, bytes}; and for which jobs.
local pending, added = {}, {}

-- What is known of the items of a job.
function items.of(job_id)
  return rows.get('streams', job_id) or {ranges = {}, trimmed = 0}
end

function items.keep(job_id, stream)
  rows.put('streams', job_id, stream)
end

-- Items of a job from a number to another, {what is said of it, bytes}: those in its stream, up to `most`, and those
-- that this step has added.
function items.between(job_id, first, last, most)
  local found = {}
  for _, entry in ipairs(call('XRANGE', key('stream', job_id), digits(first), digits(last), 'COUNT', most)) do
    found[#found + 1] = {entry[2][2], entry[2][4]}
  end
  for _, one in ipairs(pending) do
    if one[1] == job_id and one[2] >= first and one[2] <= last then found[#found + 1] = {one[3], one[4]} end
  end
  return found
end

-- Write what this step has added. Who cuts a stream that this step may have added to does this first.
function items.flush()
  for _, one in ipairs(pending) do
    call('XADD', key('stream', one[1]), digits(one[2]) .. '-0', 'm', one[3], 'd', one[4])
  end
  pending, added = {}, {}
end

-- Refuse to add to a stream that is no stream, or goes further than its record: that could not be written, and the items
-- of other jobs, written before it, would be in no record.
local function fit(job_id, number)
  if #call('XREVRANGE', key('stream', job_id), '+', digits(number), 'COUNT', 1) == 0 then return end
  local told = 'The stream of job ' .. job_id .. ' holds item ' .. digits(number) .. ', and its record ends before that. '
  step.refuse('Corrupt', {told .. 'Nothing was changed. Run `audit()`, and report what it says.'})
end

-- Add one item under the job's next number. `job` is changed in place.
--
-- It is written with the record: a number that is in the stream and not in the record could never be added again.
function items.add_item(job, kind, data, step_key, seq)
  local number = job.chunks + 1
  if not added[job.id] then
    fit(job.id, number)
    added[job.id] = true
  end
  if #pending == 0 then step.when_written(items.flush) end
  local said = cmsgpack.pack({kind, job.fence, step.now_ms, step_key or false, seq or false})
  pending[#pending + 1] = {job.id, number, said, data}
  job.chunks = number
end

-- Ranges that resets before the first item of run `fence` must name, in order.
--
-- A range of an earlier run stays valid only if its step was saved by that same run. spec: STREAM-4, STREAM-5, STREAM-7
local function newly_void(job_id, ranges, fence)
  local names, found = {}, {}
  for _, range in ipairs(ranges) do
    if not range.void and range.step then names[#names + 1] = range.step end
  end
  rows.fetch('steps:' .. job_id, names)
  for _, range in ipairs(ranges) do
    local saved = range.step and steps.get(job_id, range.step)
    if range.fence < fence and not range.void and not (saved and saved.fence == range.fence) then
      found[#found + 1] = range
    end
  end
  return found
end

-- Neighbours among ranges as one.
local function joined(ranges)
  local found = {}
  for _, range in ipairs(ranges) do
    local last = found[#found]
    if last and last[2] + 1 == range.first then
      last[2] = range.last
    else
      found[#found + 1] = {range.first, range.last}
    end
  end
  return found
end

-- The bodies of the `reset` items that name ranges, neighbours joined: {"void": [[1, 40], [43, 50]]}.
--
-- As few as it takes, none over MAX_CHUNK_BYTES; no range is cut in two. spec: STREAM-4
local function reset_bodies(ranges)
  local bodies, pairs_, size = {}, {}, 0
  local function close()
    if #pairs_ > 0 then bodies[#bodies + 1] = '{"void":[' .. table.concat(pairs_, ',') .. ']}' end
    pairs_, size = {}, #'{"void":['
  end
  close()
  for _, range in ipairs(joined(ranges)) do
    local pair = '[' .. digits(range[1]) .. ',' .. digits(range[2]) .. ']'
    if #pairs_ > 0 and size + #pair + #',]}' > bounds.MAX_CHUNK_BYTES then close() end
    size = size + #pair + (#pairs_ > 0 and 1 or 0)
    pairs_[#pairs_ + 1] = pair
  end
  close()
  return bodies
end

-- Name the data that a new run makes void, if there is any; name nothing twice. `job` is changed in place, and so is
-- what is known of its items. spec: STREAM-4, STREAM-7
function items.add_resets(job, stream)
  local void = newly_void(job.id, stream.ranges, job.fence)
  if #void == 0 then return end
  for _, body in ipairs(reset_bodies(void)) do items.add_item(job, 'reset', body) end
  for _, range in ipairs(void) do range.void = true end
end

-- Whether the newest run has appended data. Its own ranges are the newest.
function items.has_data(stream, fence)
  local last = stream.ranges[#stream.ranges]
  return last ~= nil and last.fence == fence
end

-- What the marker says: the last error of a job that is dead.
local function told(job)
  if job.state ~= 'dead' then return '' end
  local errors = jobs.errors(job.id)
  return #errors > 0 and errors[#errors].message or ''
end

-- Write the last item of a job that ends, if it has items at all. spec: STREAM-6, STREAM-8
function items.close_stream(before, after)
  if before.chunks == 0 then return after end
  local job, stream = rows.with(after, {}), items.of(before.id)
  if before.state == 'running' and not items.has_data(stream, before.fence) then
    items.add_resets(job, stream)
    items.keep(job.id, stream)
  end
  items.add_item(job, MARKERS[job.state], told(job))
  return job
end

-- Let the first run of the next generation name the end of this one in its reset. spec: DEAD-20
function items.void_marker(job)
  if job.chunks == 0 then return end
  local stream = items.of(job.id)
  stream.ranges[#stream.ranges + 1] = {first = job.chunks, last = job.chunks, fence = job.fence}
  items.keep(job.id, stream)
end

-- Leave its last item to the stream of a job that has ended. spec: KEEP-4
function items.cut(job)
  local stream = items.of(job.id)
  items.flush()
  call('XTRIM', key('stream', job.id), 'MINID', digits(job.chunks) .. '-0')
  stream.trimmed, stream.run = job.chunks - 1, nil
  items.keep(job.id, stream)
  rows.put_bytes('progress', job.id, false)
  jobs.put(job, rows.with(job, {stream_bytes = none}))
end

-- Forget the items of a job.
function items.forget(job)
  if job.chunks == 0 then return end
  items.flush()
  call('UNLINK', key('stream', job.id))
  rows.drop('streams', job.id)
end
