-- appending: adding items to a job's stream in the name of a run.
-- spec: STREAM-1, STREAM-2, STREAM-3, STREAM-4

-- How many items a run has appended, and from which of them on (`starts`) their numbers are those from another one on.
local function run_of(stream, fence)
  local run = stream.run
  return run and run.fence == fence and run or {fence = fence, count = 0, starts = {}}
end

-- The number of an item by its place within its run.
local function number_of(run, seq)
  local first = run.starts[1]
  for _, start in ipairs(run.starts) do
    if start[1] <= seq then first = start end
  end
  return first[2] + seq - first[1]
end

-- The items from a place within their run on that are there already, as lists: kind, bytes, step or false.
local function known_from(job_id, run, seq)
  local found = {}
  if seq > run.count then return found end
  local first, last = number_of(run, seq), number_of(run, run.count)
  for _, item in ipairs(items.between(job_id, first, last, 2 * bounds.MAX_BATCH)) do
    local told = cmsgpack.unpack(item[1])
    if told[5] then found[told[5]] = {told[1], item[2], told[4]} end
  end
  return found
end

-- The items that are not there yet; a repeat has the same content, and no number is left out. spec: STREAM-3
function appending.unknown(job_id, stream, fence, chunks)
  local run, new, known = run_of(stream, fence), {}, nil
  local count = run.count
  for _, chunk in ipairs(chunks) do
    if chunk.seq > count + 1 then
      local told = 'Item ' .. digits(chunk.seq) .. ' of the run does not follow its last, ' .. digits(count) .. '.'
      step.refuse('Conflict', {message = told, reason = 'gap'})
    end
    local content = {chunk.kind or 'data', step.blob(chunk.data), chunk.step or false}
    known = known or known_from(job_id, run, chunk.seq)
    if chunk.seq == count + 1 then
      new[#new + 1], count = chunk, count + 1
      known[chunk.seq] = content
    else
      local first = known[chunk.seq] or known_from(job_id, run, chunk.seq)[chunk.seq]
      if not rows.same(first, content) then
        local told = 'Item ' .. digits(chunk.seq) .. ' of the run was appended with another content.'
        step.refuse('Conflict', {message = told, reason = 'chunk'})
      end
    end
  end
  return new
end

-- Note the newest number as data of this run and step; what follows in the same ones is one range.
local function extend_ranges(stream, job, step_key)
  local last = stream.ranges[#stream.ranges]
  if last and last.fence == job.fence and last.step == step_key then
    last.last = job.chunks
  else
    stream.ranges[#stream.ranges + 1] = {first = job.chunks, last = job.chunks, fence = job.fence, step = step_key}
  end
end

-- Count an item of a run under its number; the stream is changed in place.
function appending.count(stream, fence, seq, number)
  local run = run_of(stream, fence)
  local follows = run.count > 0 and number_of(run, run.count) + 1 == number
  if not follows then run.starts[#run.starts + 1] = {seq, number} end
  run.count, stream.run = seq, run
end

-- Append items that are new, so that they take `size` of MAX_STREAM_BYTES with those before them; the number of the last.
function appending.add(before, stream, new, size)
  local job = rows.with(before, {stream_bytes = size})
  for _, chunk in ipairs(new) do
    local kind, data = chunk.kind or 'data', step.blob(chunk.data)
    if kind == 'data' and not items.has_data(stream, job.fence) then items.add_resets(job, stream) end
    if kind == 'progress' then jobs.put_progress(job.id, data) end
    items.add_item(job, kind, data, chunk.step, chunk.seq)
    appending.count(stream, job.fence, chunk.seq, job.chunks)
    if kind == 'data' then extend_ranges(stream, job, chunk.step) end
  end
  items.keep(job.id, stream)
  jobs.put(before, job)
  step.wake('stream:' .. job.id)
  return job.chunks
end
