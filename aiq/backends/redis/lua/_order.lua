-- order: texts in the order of their bytes, as every store has it.
--
-- The `<` of Lua goes by the language that the server was started in (LC_COLLATE), and so may differ from server to
-- server; sorted sets, and Python, go by bytes.

-- Whether one text comes before another.
function order.less(one, other)
  for place = 1, math.min(#one, #other) do
    local left, right = one:byte(place), other:byte(place)
    if left ~= right then return left < right end
  end
  return #one < #other
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
