-- ledger: rows of `books` as they are stored, for whoever writes many that differ in few places only.
-- spec: BUDGET-1, CALL-1, CALL-12

-- The list of the open calls of a run that has made none of its own.
local CALL_0 = cmsgpack.pack({0})

-- Write a budget that is new, has no parent, and is nobody's.
function ledger.put_budget(budget_id, text)
  zsets.put('budget_ids', budget_id, 0)
  rows.put_text('budgets', budget_id, text)
end

-- Write how a budget without windows stands.
function ledger.put_budget_state(budget_id, text)
  rows.put_text('budget_states', books.window(budget_id, 0), text)
end

-- Write call 0 of the first run of a job.
function ledger.open_run(job_id, text)
  rows.put_text('reservations', books.call(job_id, 1, 0), text)
  rows.put_text('open_calls', books.run(job_id, 1), CALL_0)
end

-- Whether call 0 is the only one that is open, of a run whose list was fetched and is not changed in this step.
function ledger.is_first_alone(job_id, fence)
  return rows.stored('open_calls', books.run(job_id, fence)) == CALL_0
end

-- Write call 0 of such a run as it is closed.
function ledger.close_run(job_id, fence, text)
  local id = books.call(job_id, fence, 0)
  rows.put_text('reservations', id, text)
  rows.drop('open_calls', books.run(job_id, fence))
  zsets.put('closed_calls', id, step.now_ms)
end
