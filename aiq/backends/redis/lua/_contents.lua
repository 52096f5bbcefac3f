-- contents: the payloads and results of jobs. Small ones stand behind their job's record, in its own field; longer ones in
-- the tables `payloads` and `results`, so that whoever changes a record need not write them again.

-- A field of a hash takes some ninety bytes besides what is in it.
local INLINE_BYTES = 256

local LENGTHS = {payloads = 'payload_bytes', results = 'result_bytes'}

-- Small ones, by job; false for a job that has none here.
local small = {payloads = {}, results = {}}

-- What may have a longer one, as far as its record tells: a job always has a payload, and one that succeeded a result.
local function is_apart(name, job)
  return not small[name][job.id] and (name == 'payloads' or job.state == 'succeeded')
end

-- Take in what stands behind a record that was read.
function contents.read(id, job, behind)
  local length = job.payload_bytes or 0
  small.payloads[id] = job.payload_bytes and behind:sub(1, length) or false
  small.results[id] = job.result_bytes and behind:sub(length + 1, length + job.result_bytes) or false
end

-- What is to stand behind a record; how long its parts are is noted in the record.
function contents.behind(job)
  local payload, result = small.payloads[job.id] or nil, small.results[job.id] or nil
  job.payload_bytes, job.result_bytes = payload and #payload, result and #result
  return (payload or '') .. (result or '')
end

-- Read the long ones that the step is about to look at, in one command.
function contents.fetch(name, ids)
  local missing = {}
  for _, id in ipairs(ids) do
    local job = jobs.get(id)
    if job and is_apart(name, job) then missing[#missing + 1] = id end
  end
  rows.fetch_bytes(name, missing)
end

-- The bytes of a job, or nil.
function contents.get(name, id)
  local job = jobs.get(id)
  return small[name][id] or job and is_apart(name, job) and rows.bytes(name, id) or nil
end

-- How long they are; 0 where there are none.
function contents.size(name, id)
  local job = jobs.get(id)
  if small[name][id] then return #small[name][id] end
  return job and is_apart(name, job) and rows.size(name, id) or 0
end

-- Let a job have bytes, nil for none. Its record is written with them at the end of the step; it may be one that the
-- step is still about to store.
function contents.put(name, id, bytes)
  local job = jobs.get(id)
  local fits = bytes and #bytes <= INLINE_BYTES
  if bytes and not fits then
    rows.put_bytes(name, id, bytes)
  elseif job and is_apart(name, job) then
    rows.put_bytes(name, id, false)
  end
  small[name][id] = fits and bytes or false
  if job then rows.put('jobs', id, job) end
end
