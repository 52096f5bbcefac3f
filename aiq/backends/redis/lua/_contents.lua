-- contents: the payloads and results of jobs. Small ones stand behind their job's record, in its own field; longer ones in
-- the tables `payloads` and `results`, so that whoever changes a record need not write them again.

-- Those up to so many bytes are small: a field of a hash takes some ninety bytes besides what is in it. Where a stored
-- one stands is told by its length alone, so this is never another number.
contents.INLINE_BYTES = 256

-- Small ones, by job; and how long each is, longer ones too: nil for a job that has none.
local small = {payloads = {}, results = {}}
local sizes = {payloads = {}, results = {}}

local function is_apart(name, id)
  return (sizes[name][id] or 0) > contents.INLINE_BYTES
end

-- Take in what stands behind a record that was read.
function contents.read(id, job, behind)
  local payload, result, first = job.payload_bytes, job.result_bytes, 1
  sizes.payloads[id], sizes.results[id] = payload, result
  if payload and payload <= contents.INLINE_BYTES then
    small.payloads[id], first = behind:sub(1, payload), payload + 1
  end
  if result and result <= contents.INLINE_BYTES then small.results[id] = behind:sub(first, first + result - 1) end
end

-- What is to stand behind a record; how long its parts are is noted in the record.
function contents.behind(job)
  local id = job.id
  job.payload_bytes, job.result_bytes = sizes.payloads[id], sizes.results[id]
  return (small.payloads[id] or '') .. (small.results[id] or '')
end

-- Read the long ones that the step is about to look at, in one command.
function contents.fetch(name, ids)
  local missing = {}
  for _, id in ipairs(ids) do
    if jobs.get(id) and is_apart(name, id) then missing[#missing + 1] = id end
  end
  rows.fetch_bytes(name, missing)
end

-- The bytes of a job, or nil.
function contents.get(name, id)
  if not jobs.get(id) then return nil end
  return small[name][id] or is_apart(name, id) and rows.bytes(name, id) or nil
end

-- The bytes of a job that stand in a table of their own; false where they do not.
function contents.apart(name, id)
  return is_apart(name, id) and rows.bytes(name, id) or false
end

-- How long they are; 0 where there are none.
function contents.size(name, id)
  return jobs.get(id) and sizes[name][id] or 0
end

-- Let a job have bytes, nil for none. Its record is written with them at the end of the step; it may be one that the
-- step is still about to store.
function contents.put(name, id, bytes)
  local job = jobs.get(id)
  local was_apart, fits = job and is_apart(name, id), bytes and #bytes <= contents.INLINE_BYTES
  if bytes and not fits then
    rows.put_bytes(name, id, bytes)
  elseif was_apart then
    rows.put_bytes(name, id, false)
  end
  sizes[name][id], small[name][id] = bytes and #bytes, fits and bytes or nil
  if job then rows.put('jobs', id, job) end
end
