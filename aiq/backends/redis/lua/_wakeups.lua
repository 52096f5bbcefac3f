-- wakeups: tell other processes what has changed. Hints: whoever misses one finds the truth by looking.
-- spec: LIVE-3, STORE-6

-- How many entries the stream keeps: who was away for longer looks at everything.
local KEPT = 1024

function wakeups.tell(topics)
  local list = {}
  for topic in pairs(topics) do list[#list + 1] = topic end
  if #list > 0 then call('XADD', key('wakeups'), 'MAXLEN', '~', KEPT, '*', 'topics', cmsgpack.pack(list)) end
end
