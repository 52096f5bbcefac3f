-- order: texts in the order of their bytes, as every store has it.
--
-- The `<` of Lua goes by the language that the server was started in (LC_COLLATE), and so may differ from server to
-- server; sorted sets, and Python, go by bytes.

local byte, sub = string.byte, string.sub

-- How many bytes are compared at once: ids with numbers in them are alike in most of their bytes.
local PIECE = 8

-- Whether one text comes before another.
function order.less(one, other)
  local left, right, place = byte(one, 1), byte(other, 1), 1
  if left ~= right then return left and right and left < right or not left end
  if one == other then return false end
  while sub(one, place, place + PIECE - 1) == sub(other, place, place + PIECE - 1) do place = place + PIECE end
  repeat
    left, right, place = byte(one, place), byte(other, place), place + 1
  until left ~= right
  return left and right and left < right or not left
end

-- Texts, sorted in place.
function order.sorted(texts)
  table.sort(texts, order.less)
  return texts
end

-- The names of a table's fields, sorted.
function order.names(fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  return order.sorted(names)
end
