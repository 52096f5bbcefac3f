-- audit_accounts: what the audit finds about limits, budgets, and the calls that take of them.
-- spec: CALL-6, CALL-15, BUDGET-5

local function goes_on(one)
  local job = jobs.get(one.job_id)
  return job ~= nil and job.state == 'running' and job.fence == one.fence
end

local function told(one)
  return 'call ' .. digits(one.call) .. ' of run ' .. digits(one.fence)
end

-- What is open belongs to a run that goes on; limits and budgets hold what it holds.
function audit_accounts.of_reservation(id, tell)
  local one = rows.get('reservations', id)
  if not jobs.get(one.job_id) then tell('GONE-1', 'it is not stored, and has a call', one.job_id) end
  if one.call ~= 0 then audits.stands('own_calls') end
  if (one.state or 'open') ~= 'open' then return audits.stands('closed_calls') end
  if not goes_on(one) then tell('CALL-15', told(one) .. ' is open, and the run is over', one.job_id) end
  audits.sum('open_calls', books.run(one.job_id, one.fence), 1)
  for _, part in ipairs(one.parts or {}) do
    local place = books.place(part.limit, part.key or '')
    audits.sum('limit_tokens', place, part.rest or 0)
    audits.sum('limit_units', place, part.slot and 1 or 0)
  end
  for _, draw in ipairs(one.draws or {}) do
    for kind, amount in pairs(draw.held or {}) do
      audits.sum('budget_held', books.window(draw.budget, draw.window_ms or 0) .. ' ' .. kind, amount)
    end
  end
end

-- The list of the open calls of a run.
function audit_accounts.of_open_calls(run)
  audits.sum('open_calls', run, -#rows.get('open_calls', run))
end

-- What stands in line belongs to a run that goes on.
function audit_accounts.of_waiting(id, tell)
  local one = rows.get('waiting', id)
  audits.sum('counter', 'waiting_calls', 1)
  if not goes_on(one) then tell('CALL-6', told(one) .. ' stands in line, and the run is over', one.job_id) end
end

-- A limit is in their order, but for those of queues' own settings.
function audit_accounts.of_limit(name)
  if not name:find('^queue:') then audits.stands('limit_names') end
end

-- What is held of a limit, and the units that are taken of it.
function audit_accounts.of_level(place)
  local name, part = books.split_place(place)
  local spec, state = books.limit(name), books.limit_state(name, part)
  local now = limits.status(spec, part, state, state.at_ms, 0)
  audits.sum('limit_tokens', place, -now.tokens_held)
  audits.sum('limit_units', place, -now.running)
  if part == '' then return end
  audits.stands('touched_parts')
  audits.stands('limit_parts:' .. name)
end

-- What is held of a budget in a window.
function audit_accounts.of_balance(id)
  local _, window_ms = books.split_window(id)
  for kind, amount in pairs(rows.get('budget_states', id).held or {}) do
    audits.sum('budget_held', id .. ' ' .. kind, -amount)
  end
  if window_ms ~= 0 then audits.stands('touched_windows') end
end

-- A budget is in their order, and known to its parent.
function audit_accounts.of_budget(id, tell)
  audits.stands('budget_ids')
  local spec = rows.get('budgets', id)
  if not spec.parent then return end
  audits.sum('budget_parents', spec.parent, 1)
  if not trees.is_known(spec) then
    tell('BUDGET-9', 'budget ' .. texts.quoted(id) .. ' does not stand below its parent as deep as it is', '')
  end
end
