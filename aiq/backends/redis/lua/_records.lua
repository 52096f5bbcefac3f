-- records: the record of a job as it is stored: a map in msgpack, and behind it the job's payload and result, if they
-- are small.
--
-- The map has numbers in the place of names (fields.py), and nothing that is as by default. What stands behind it is no
-- msgpack, so that no script looks into it; the fields `payload_bytes` and `result_bytes` say how long each is. A longer one
-- stands in the table `payloads` or `results`, so that whoever changes a record need not write it again.

local DEFAULTS = defaults.JobRecord.__index
local NUMBERS, NAMES = fields.NUMBERS, fields.NAMES
local type, next = type, next

-- The map alone, which is what a caller is told.
function records.pack(job)
  local kept, id = {}, job.id
  job.id = nil
  for name, value in pairs(job) do
    if value ~= DEFAULTS[name] and (type(value) ~= 'table' or next(value) ~= nil) then
      kept[NUMBERS[name] or name] = value
    end
  end
  job.id = id
  return cmsgpack.pack(kept)
end

-- A record, and the bytes behind it.
function records.read(id, text)
  local offset, kept = cmsgpack.unpack_one(text)
  local job = setmetatable({id = id}, defaults.JobRecord)
  for number, value in pairs(kept) do job[NAMES[number] or number] = value end
  if offset < 0 then return job, '' end
  return job, text:sub(offset + 1)
end
