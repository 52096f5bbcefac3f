-- append: add items to the streams of jobs in the name of their runs: those of each run all or none.
-- args: appends (each {lease, chunks}; each chunk {seq, kind, step, data, the place of its bytes})
-- returns: for each {last, cancel_requested, late, stream_bytes}, or {refused, detail}
-- spec: STREAM-1, STREAM-2, STREAM-3, STREAM-4, STREAM-10, STREAM-11, STREAM-12, STREAM-13, STREAM-14, LEASE-5
local function append(lease, chunks)
  local job = holder.owned(lease)
  local stream = items.of(job.id)
  local new = appending.unknown(job.id, stream, lease.fence, chunks)
  local size = job.stream_bytes or 0
  for _, chunk in ipairs(new) do size = size + #step.blob(chunk.data) + bounds.ITEM_OVERHEAD_BYTES end
  if size > bounds.MAX_STREAM_BYTES then
    step.refuse('TooLarge', {'stream of job ' .. job.id, size, bounds.MAX_STREAM_BYTES})
  end
  local last = job.chunks
  if #new > 0 then last = appending.add(job, stream, new, size) end
  return {
    last = last, cancel_requested = job.cancel_requested_at_ms ~= nil, late = leases.expired(job, step.now_ms),
    stream_bytes = size,
  }
end

local ANSWERS = {LeaseLost = true, Conflict = true, TooLarge = true}

-- What is refused to one run, before anything of it is written, is its answer; another error is one of all.
local function answer(told)
  local fine, said = pcall(append, told.lease, told.chunks)
  if not fine and not (type(said) == 'table' and ANSWERS[said.refused]) then error(said, 0) end
  return said
end

local ids, answers = {}, {}
for place, told in ipairs(args.appends) do ids[place] = told.lease.job_id end
jobs.fetch(ids)
rows.fetch('streams', ids)
for place, told in ipairs(args.appends) do answers[place] = answer(told) end
return answers
