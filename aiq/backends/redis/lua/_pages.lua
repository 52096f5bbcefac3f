-- pages: how much of a list one answer has room for.
-- spec: STORE-16

-- Tell records by id, false for one that is not stored. The answer ends with the job that takes it to `room` bytes.
function pages.told(ids, room)
  local found = {}
  for _, id in ipairs(ids) do
    local stored = rows.has('jobs', id)
    found[#found + 1] = stored and jobs.tell(id) or false
    if stored then room = room - jobs.content_size(id) end
    if room <= 0 then break end
  end
  return found
end
