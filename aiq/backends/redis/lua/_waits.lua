-- waits: when a wait on other jobs is over, and how.
--
-- A wait is a row with the fields of `Wait`, under the defaults of that.
-- spec: FLOW-9, FLOW-12

-- Jobs that have not ended.
function waits.pending(wait)
  return wait.total - wait.succeeded - wait.failed
end

-- How a wait is over, or nil while it is not.
--
-- With `need` set it is over when that many have succeeded, or as soon as they no longer can: more than total - need
-- have ended badly. Without, it is over when all have ended. spec: FLOW-9
function waits.verdict(wait)
  if wait.need then
    if wait.succeeded >= wait.need then return 'children' end
    if wait.failed > wait.total - wait.need then return 'child_failed' end
  end
  return waits.pending(wait) == 0 and 'children' or nil
end

-- A wait of which one more job has ended.
function waits.counted(wait, upstream_id, succeeded)
  if succeeded then return rows.with(wait, {succeeded = wait.succeeded + 1}) end
  return rows.with(wait, {failed = wait.failed + 1, first_failed = wait.first_failed or upstream_id})
end

-- The step under which a wait that is over is kept, as `transition.remember` takes it: the step, then its value.
-- `winners` are ids in the order they succeeded.
--
-- All winners are named only where fewer than all were needed: otherwise the children are known, and a wait on ten
-- thousand must not write ten thousand names. spec: FLOW-12
function waits.remembered(wait, kind, winners, fence)
  local one = {kind = kind, fence = fence}
  if kind == 'child_failed' then return one, wait.first_failed or '' end
  if not wait.need or wait.need >= wait.total then return one, '' end
  return one, table.concat(winners, '\n', 1, math.min(wait.need, #winners))
end
