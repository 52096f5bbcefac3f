-- briefs: ids and digests as they are kept: what is written in hexadecimal digits, as nearly all are, in half of the bytes.
--
-- A job's id stands in the table of records, in a lane and in the table of its number. One of 32 digits is kept as a byte
-- that no text begins with, and 16 more; any other as it is. A digest of 64 digits is kept as 32 bytes.

local MARK = '\255'
local ID_CHARACTERS, DIGEST_CHARACTERS = 32, 64
local ID, ID_DIGITS = '>I6I6I4', '%012x%012x%08x'
local DIGEST, DIGEST_DIGITS = '>I6I6I6I6I6I2', '%012x%012x%012x%012x%012x%04x'

-- How many bytes such an id takes.
local BYTES = 17
-- How many bytes a digest takes.
briefs.DIGEST_BYTES = 32

-- Ids that this step has seen, in both forms: each is asked for again and again.
local kept, told = {}, {}
local find, sub, pack, unpack_ = string.find, string.sub, struct.pack, struct.unpack

local function is_hex(text, characters)
  return #text == characters and not find(text, '[^0-9a-f]')
end

local function number(text, first, last)
  return tonumber(sub(text, first, last), 16)
end

-- Take it from the caller how ids are kept: he has told their bytes, one behind the other.
function briefs.learn(ids, bytes)
  for place = 1, #ids do kept[ids[place]] = sub(bytes, place * BYTES - BYTES + 1, place * BYTES) end
end

-- An id as it is kept.
function briefs.id(id)
  local found = kept[id]
  if not found then
    found = id
    if is_hex(id, ID_CHARACTERS) then
      found = MARK .. pack(ID, number(id, 1, 12), number(id, 13, 24), number(id, 25, 32))
      told[found] = id
    end
    kept[id] = found
  end
  return found
end

-- An id that is kept so.
function briefs.whole(brief)
  if sub(brief, 1, 1) ~= MARK then return brief end
  local found = told[brief]
  if not found then
    local first, second, third = unpack_(ID, brief, 2)
    found = string.format(ID_DIGITS, first, second, third)
    told[brief], kept[found] = found, brief
  end
  return found
end

-- Ids, which are what stands before values in a table, one behind the other as they are kept in few bytes; and a list of
-- those that are kept as they are.
function briefs.told(ids)
  local found, others, count = {}, {}, 0
  for id in pairs(ids) do
    local brief = kept[id] or briefs.id(id)
    if brief == id then
      others[#others + 1] = id
    else
      count = count + 1
      found[count] = brief
    end
  end
  return table.concat(found), others
end

-- Whether a digest can be kept as bytes.
function briefs.is_digest(text)
  return is_hex(text, DIGEST_CHARACTERS)
end

-- Such a digest as bytes.
function briefs.digest(text)
  local parts = {}
  for place = 0, 4 do parts[place + 1] = number(text, place * 12 + 1, place * 12 + 12) end
  parts[6] = number(text, 61, 64)
  return pack(DIGEST, unpack(parts))
end

-- A digest that is kept so.
function briefs.whole_digest(bytes)
  return string.format(DIGEST_DIGITS, unpack_(DIGEST, bytes))
end
