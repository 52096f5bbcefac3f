-- rows: rows of tables, read once, changed in place, written at the end of the step.
--
-- A table is a hash of Redis, a row one of its fields, in msgpack. Its name may go on with that of its owner, as in
-- 'steps:ID'. A row that a step has read is the same Lua table for all of its code. An order that must be read in
-- order is not a table: it is a sorted set, which is read and written at once.
-- A table of bytes is such a hash too; what stands in it goes as it is (`rows.bytes`), also at the end.

local CHUNK = 1000

local cached, changed = {}, {}
-- Rows that were read, or are to be written, and that nobody has looked into; false for none.
local unread = {}
-- Bytes that were read, and bytes that are to be written; false for none.
local heard, told = {}, {}

-- A row as it is stored, and back. Records are stored more closely than others.
local function read(name, id, text)
  if not text then return false end
  return name == 'jobs' and jobs.unpack(id, text) or cmsgpack.unpack(text)
end

local function text_of(name, row)
  if name == 'jobs' then return jobs.pack(row) end
  return cmsgpack.pack(row)
end

local function itself(id)
  return id
end

-- What tells how a row is called in Redis.
local function namer(name)
  return name == 'jobs' and briefs.id or itself
end

local function of(name, tables)
  tables = tables or cached
  local found = tables[name]
  if not found then
    found = {}
    tables[name] = found
  end
  return found
end

-- Read rows that the step is about to look at, in one command.
function rows.fetch(name, ids)
  local table_, texts, missing, fields_, count = of(name), of(name, unread), {}, {}, 0
  local field = namer(name)
  for place = 1, #ids do
    local id = ids[place]
    if table_[id] == nil and texts[id] == nil then
      count = count + 1
      missing[count], fields_[count] = id, field(id)
    end
  end
  for first = 1, count, CHUNK do
    local found = call('HMGET', key(name), unpack(fields_, first, math.min(first + CHUNK - 1, count)))
    for place = 1, #found do texts[missing[first + place - 1]] = found[place] end
  end
end

local function look_up(name, id)
  local text = of(name, unread)[id]
  if text == nil then text = call('HGET', key(name), namer(name)(id)) end
  local row = read(name, id, text)
  of(name)[id] = row
  return row
end

-- What a step knows of a table, for whoever goes through many of its rows: those that somebody has looked into, the texts
-- of those that nobody has, and which of both are to be written.
function rows.open(name)
  return of(name), of(name, unread), of(name, changed)
end

-- A row as it is stored, if it was fetched and this step leaves it so; else nil.
function rows.stored(name, id)
  return not of(name, changed)[id] and of(name, unread)[id] or nil
end

-- A row, or nil. `shape` is the metatable of its defaults.
function rows.get(name, id, shape)
  local table_ = cached[name]
  local row = table_ and table_[id]
  if row == nil then row = look_up(name, id) end
  if not row then return nil end
  if shape and getmetatable(row) ~= shape then setmetatable(row, shape) end
  return row
end

-- Write a row at the end of the step.
function rows.put(name, id, row)
  of(name)[id] = row
  of(name, changed)[id] = true
end

-- Whether there is a row, which is not looked into.
function rows.has(name, id)
  local row = of(name)[id]
  if row == nil then row = of(name, unread)[id] end
  if row == nil then return rows.get(name, id) ~= nil end
  return row ~= false
end

-- Write a row as it is to be stored. Who has looked into what stood there has that no more.
function rows.put_text(name, id, text)
  of(name)[id] = nil
  of(name, unread)[id] = text
  of(name, changed)[id] = true
end

-- Remove a row at the end of the step.
function rows.drop(name, id)
  rows.put(name, id, false)
end

-- Remove a whole table, that of an owner who is gone, and other keys of his, at once, however large they are.
function rows.empty(name, ...)
  local cached_ = of(name)
  for id in pairs(of(name, unread)) do cached_[id] = false end
  for id in pairs(cached_) do cached_[id] = false end
  changed[name] = nil
  call('UNLINK', key(name), ...)
end

-- Every row of a small table, by id.
function rows.all(name, shape)
  local table_ = of(name)
  local flat = call('HGETALL', key(name))
  for place = 1, #flat, 2 do
    if table_[flat[place]] == nil then table_[flat[place]] = cmsgpack.unpack(flat[place + 1]) end
  end
  local found = {}
  for id, row in pairs(table_) do
    if row then found[id] = shape and setmetatable(row, shape) or row end
  end
  return found
end

-- A copy of a row with some fields changed; `none` removes one.
function rows.with(row, changes)
  local copy = {}
  for name, value in pairs(row) do copy[name] = value end
  for name, value in pairs(changes) do
    if value == none then copy[name] = nil else copy[name] = value end
  end
  return setmetatable(copy, getmetatable(row))
end

-- Whether two values say the same; a field that is not there is as by default.
function rows.same(one, other)
  if one == other then return true end
  if type(one) ~= 'table' or type(other) ~= 'table' then return false end
  for name in pairs(one) do
    if not rows.same(one[name], other[name]) then return false end
  end
  for name in pairs(other) do
    if rawget(one, name) == nil and not rows.same(one[name], other[name]) then return false end
  end
  return true
end

-- Bytes as the step knows them, false for none; nil if nobody has read them.
local function known(name, id)
  local pending = told[name] and told[name][id]
  if pending ~= nil then return pending end
  return heard[name] and heard[name][id]
end

-- Read bytes that the step is about to look at, in one command.
function rows.fetch_bytes(name, ids)
  local missing = {}
  for _, id in ipairs(ids) do
    if known(name, id) == nil then missing[#missing + 1] = id end
  end
  heard[name] = heard[name] or {}
  for first = 1, #missing, CHUNK do
    local last = math.min(first + CHUNK - 1, #missing)
    local texts = call('HMGET', key(name), unpack(missing, first, last))
    for place, text in ipairs(texts) do heard[name][missing[first + place - 1]] = text end
  end
end

-- Bytes of a table, as the step leaves them, or nil.
function rows.bytes(name, id)
  local found = known(name, id)
  if found == nil then found = call('HGET', key(name), id) end
  return found or nil
end

-- How long they are; 0 where there are none.
function rows.size(name, id)
  local found = known(name, id)
  if found == nil then return call('HSTRLEN', key(name), id) end
  return found and #found or 0
end

-- Write bytes at the end of the step; false removes them.
function rows.put_bytes(name, id, bytes)
  local pending = told[name]
  if not pending then
    pending = {}
    told[name] = pending
  end
  pending[id] = bytes
end

local function write(name, written, gone)
  for first = 1, #written, CHUNK do
    call('HSET', key(name), unpack(written, first, math.min(first + CHUNK - 1, #written)))
  end
  for first = 1, #gone, CHUNK do
    call('HDEL', key(name), unpack(gone, first, math.min(first + CHUNK - 1, #gone)))
  end
end

-- Write what has changed.
function rows.flush()
  for name, ids in pairs(changed) do
    local written, gone, last = {}, {}, 0
    local seen, texts, field = of(name), of(name, unread), namer(name)
    for id in pairs(ids) do
      local row = seen[id]
      local text = row and text_of(name, row) or row == nil and texts[id]
      if text then
        written[last + 1], written[last + 2] = field(id), text
        last = last + 2
      else
        gone[#gone + 1] = field(id)
      end
    end
    write(name, written, gone)
  end
  for name, pending in pairs(told) do
    local written, gone = {}, {}
    for id, bytes in pairs(pending) do
      if bytes then
        written[#written + 1] = id
        written[#written + 1] = bytes
      else
        gone[#gone + 1] = id
      end
    end
    write(name, written, gone)
  end
  changed, told = {}, {}
end
