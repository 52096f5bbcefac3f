-- wakeups: tell other processes what has changed. Hints: whoever misses one finds the truth by looking.
-- spec: LIVE-3, STORE-6

-- How many entries the stream keeps at least. Who reads as many at once cannot know what went before them, and looks at
-- everything (KEPT in listener.py is this number).
local KEPT = 256

function wakeups.tell(topics)
  local list = {}
  for topic in pairs(topics) do list[#list + 1] = topic end
  if #list > 0 then call('XADD', key('wakeups'), 'MAXLEN', '~', KEPT, '*', 'topics', cmsgpack.pack(list)) end
end
