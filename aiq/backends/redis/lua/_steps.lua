-- steps: what a job remembers.
--
-- `steps:JOB` has by its key the kind, fence and digest of each, the hash `step_values:JOB` its bytes. `step_order:JOB`
-- are the keys in their order, by code point.
-- spec: STEP-1, STEP-5

function steps.get(job_id, step_key)
  return rows.get('steps:' .. job_id, step_key, defaults.Step)
end

-- Keep a step under a key where none stands.
function steps.put(job_id, step_key, one, value)
  rows.put('steps:' .. job_id, step_key, one)
  rows.put_bytes('step_values:' .. job_id, step_key, value)
  call('ZADD', key('step_order', job_id), 0, step_key)
end

function steps.drop(job_id, step_key)
  rows.drop('steps:' .. job_id, step_key)
  rows.put_bytes('step_values:' .. job_id, step_key, false)
  call('ZREM', key('step_order', job_id), step_key)
end

-- Forget all that a job remembers. Nothing of it was written in this step.
function steps.empty(job_id)
  rows.empty('steps:' .. job_id, key('step_values:' .. job_id), key('step_order', job_id))
end

-- How many a job remembers now.
function steps.count(job_id)
  return call('ZCARD', key('step_order', job_id))
end

-- The keys behind another one, at most `limit`.
function steps.keys(job_id, after, limit)
  local first = after == '' and '-' or '(' .. after
  return call('ZRANGEBYLEX', key('step_order', job_id), first, '+', 'LIMIT', 0, limit)
end

-- The size of the value that is kept under a key.
function steps.size(job_id, step_key)
  return rows.size('step_values:' .. job_id, step_key)
end

-- Give a step to the caller: a map with the fields of `Step`, its `value` a place.
function steps.tell(job_id, step_key)
  local one, value = steps.get(job_id, step_key), rows.bytes('step_values:' .. job_id, step_key)
  return {key = step_key, kind = one.kind, digest = one.digest, fence = one.fence, value = step.hand(value or '')}
end
