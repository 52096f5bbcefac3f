-- purses: what less urgent bands of a queue have been passed over for, by band; the first is that of band 0. spec: BAND-3

-- The credits of a queue.
function purses.of(queue)
  return rows.get('credits', queue) or {0, 0, 0, 0}
end

-- Write them, if they say anything.
function purses.put(queue, credits)
  for _, credit in ipairs(credits) do
    if credit ~= 0 then
      rows.put('credits', queue, credits)
      return
    end
  end
  rows.drop('credits', queue)
end
