-- shaping: what is left of a limit whose numbers change goes along.
-- spec: LIMIT-1, LIMIT-2, LIMIT-3

-- What is left of a limit once its numbers have changed: a list of {part, state}. Writes nothing. All parts of a limit
-- change with it in one step: those that nobody uses are forgotten after a day, so they are as many as are in use.
function shaping.reshape(old, new)
  local parts, places, found = books.parts(old.name), {}, {}
  for place, part in ipairs(parts) do places[place] = books.place(old.name, part) end
  rows.fetch('limit_states', places)
  for place, part in ipairs(parts) do
    found[place] = {part, limits.reshaped(old, new, books.limit_state(old.name, part), step.now_ms)}
  end
  return found
end

-- Write what is left of a limit, and wake those who may have room now.
function shaping.put_parts(name, parts)
  for _, one in ipairs(parts) do
    books.put_limit_state(name, one[1], one[2])
    books.freed(name, one[1])
  end
end
