-- wakeups: tell other processes what has changed. Hints: whoever misses one finds the truth by looking.
-- spec: LIVE-3, STORE-6

-- How many entries the stream keeps at least. Who reads as many at once cannot know what went before them, and looks at
-- everything (KEPT in listener.py is this number).
local KEPT = 256

-- Add an entry: `topics` in msgpack, and `briefs`, the ids of jobs that are kept in few bytes, one behind the other; the
-- topic of each is to be woken too.
function wakeups.tell(topics, ids)
  local list, short, others = {}, briefs.told(ids)
  for topic in pairs(topics) do list[#list + 1] = topic end
  for _, id in ipairs(others) do list[#list + 1] = 'job:' .. id end
  if #list == 0 and short == '' then return end
  call('XADD', key('wakeups'), 'MAXLEN', '~', KEPT, '*', 'topics', cmsgpack.pack(list), 'briefs', short)
end
