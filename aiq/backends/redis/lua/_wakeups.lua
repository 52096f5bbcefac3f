-- wakeups: tell other processes what has changed. Hints: whoever misses one finds the truth by looking.
-- spec: LIVE-3, STORE-6

-- How many entries the stream keeps at least. Who reads as many at once cannot know what went before them, and looks at
-- everything (KEPT in listener.py is this number).
local KEPT = 256

-- Add an entry: `topics` in msgpack, and `jobs`, the ids of jobs that are kept in few bytes, one behind the other; the
-- topic of each is to be woken too.
function wakeups.tell(topics, ids)
  local list, brief = {}, {}
  for topic in pairs(topics) do list[#list + 1] = topic end
  for id in pairs(ids) do
    local bytes = briefs.bytes(id)
    if bytes then brief[#brief + 1] = bytes else list[#list + 1] = 'job:' .. id end
  end
  if #list + #brief == 0 then return end
  local told = cmsgpack.pack(list)
  call('XADD', key('wakeups'), 'MAXLEN', '~', KEPT, '*', 'topics', told, 'jobs', table.concat(brief))
end
