-- shapes: what jobs that limits and budgets bind, and that are plain otherwise, say of themselves behind their heads.
--
-- It is looked into once in a step for all that say the same but for their own ids: a job's own budget is named by that. So a
-- shape is a map of `record`, which has these fields as those of the first such job, and `own`, the name that each of them gives
-- to a budget of its own in the place of its id; and of what others work out of that and keep there.
-- spec: CLAIM-1, LEASE-1, STATE-6

local byte, find, sub, unpack_ = string.byte, string.find, string.sub, struct.unpack
-- In a whole head: the lengths of the payload, and of the digest.
local PAYLOAD, DIGEST = 32, 49
-- In the place of an id, as long as that. No text has a NUL in it.
shapes.MASK = string.rep('\0', 32)
-- What such a job may have in its map besides what a plain one may.
local ALLOWED = {limits = true, estimate = true, budgets = true, creates = true}

local known, own = {}, {}

-- A text with another id in the place of its own. (`gsub` takes some five times as long.)
function shapes.masked(text, id)
  local first, last = find(text, id, 1, true)
  if not first then return text end
  local head, rest = sub(text, 1, first - 1), sub(text, last + 1)
  first, last = find(rest, id, 1, true)
  if not first then return head .. shapes.MASK .. rest end
  return head .. shapes.MASK .. sub(rest, 1, first - 1) .. shapes.MASK .. shapes.masked(sub(rest, last + 1), id)
end

-- What stands between the places of an id in a text, for `table.concat`.
function shapes.pieces(text, id)
  local found, from = {}, 1
  local first, last = find(text, id, from, true)
  while first do
    found[#found + 1] = sub(text, from, first - 1)
    from = last + 1
    first, last = find(text, id, from, true)
  end
  found[#found + 1] = sub(text, from)
  return found
end

-- The name of a job's own budget.
function shapes.budget(id)
  local found = own[id]
  if not found then
    found = 'job:' .. id
    own[id] = found
  end
  return found
end

local function names(value, id)
  return type(value) == 'string' and find(value, id, 1, true) ~= nil
end

-- Whether a record says its own id only where every job may have its own.
local function is_of_all(record, id)
  for _, name in ipairs({'task', 'queue', 'tenant', 'flow'}) do
    if names(record[name], id) then return false end
  end
  for _, limit in ipairs(record.limits) do
    if names(limit, id) then return false end
  end
  for _, budget in ipairs(record.budgets) do
    if names(budget, id) and budget ~= shapes.budget(id) then return false end
  end
  return not (record.estimate and names(record.estimate.model, id))
end

local function look(id, text, at)
  local band, lease_ms, task, queue, after = records.named(text, at)
  local record = {id = id, band = band, lease_ms = lease_ms, task = task, queue = queue}
  local _, kept = cmsgpack.unpack_one(text, after - 1)
  for number, value in pairs(kept) do
    local name = fields.NAMES[number]
    if not (ALLOWED[name] or records.IN_PLAIN[name]) then return false end
    record[name] = value
  end
  setmetatable(record, defaults.JobRecord)
  return is_of_all(record, id) and {record = record, id = id} or false
end

-- The shape of a job by its record, which has a whole head and no result, where what is named begins at a place; nil of one that
-- is anything else than such a job, or whose id is none that could be told from other texts.
function shapes.of(id, text, at)
  if briefs.id(id) == id then return nil end
  local payload, behind = unpack_('>I3', text, PAYLOAD) - 1, byte(text, DIGEST)
  if payload > 0 and payload <= contents.INLINE_BYTES then behind = behind + payload end
  local said = shapes.masked(sub(text, at, #text - behind), id)
  local found = known[said]
  if found == nil then
    found = look(id, text, at)
    known[said] = found
  end
  return found or nil
end
