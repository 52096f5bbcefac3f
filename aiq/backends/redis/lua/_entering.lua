-- entering: new jobs that limits and budgets bind, and that are plain otherwise, as most of a batch come: alike.
--
-- What is asked of each (T1) is asked once for those that differ in nothing but their ids, contents and digests; a budget of its
-- own has the name of its job, and is written as a text in which only that differs. Who might be refused for what the others are
-- not, or has a key that is there already, is left to `storing`, from which nothing here decides otherwise.
-- spec: ENQ-1, ENQ-3, BUDGET-11, CALL-17, CALL-18, HOLD-8

local OTHER, READY, FRESH_LANE = 0, fields.STATE_NUMBERS.ready, 1

-- What jobs of a batch have in common, as the first of them says it, and their own budget, if each brings one: {record, named,
-- budget, created}; `named` and `budget` are pieces of texts between which their ids stand. Nil where they bring anything else.
local function opened(named, id)
  local band, lease_ms, task, queue, at = records.named(named, 1)
  local pieces = shapes.pieces(named, shapes.MASK)
  local record = {id = id, task = task, queue = queue, band = band, lease_ms = lease_ms, lane = FRESH_LANE, fence = 0, state = 'ready'}
  for number, value in pairs(cmsgpack.unpack(table.concat(pieces, id):sub(at))) do record[fields.NAMES[number]] = value end
  local found = {record = jobs.new(record), named = pieces}
  if #record.creates == 0 then return found end
  local budget = record.creates[1]
  if #record.creates > 1 or budget.id ~= shapes.budget(id) or budget.parent then return nil end
  found.budget, found.created = shapes.pieces(cmsgpack.pack(budget), id), budget
  return found
end

-- What such jobs have in common; nil where their budgets are for `storing` to look at.
function entering.look(alike)
  local _, _, _, _, place, ids = unpack(alike)
  local found, names = opened(step.blob(place), ids[1]), {}
  if not found then return nil end
  if found.budget then
    for number, id in ipairs(ids) do names[number] = shapes.budget(id) end
    rows.fetch('budgets', names)
    rows.fetch('budget_parents', names)
    for _, name in ipairs(names) do
      if rows.has('budgets', name) or rows.has('budget_parents', name) then return nil end
    end
  end
  return found
end

-- Refuse such jobs if they could never run.
function entering.check(found)
  if found.created then books.expect_budgets({[found.created.id] = found.created}) end
  booking.check_at_enqueue(found.record)
end

-- The record of such a job but for what stands behind its map: its head, for a place among those that are ready.
function entering.head(found, id, n, position, event, payload_bytes, digest_bytes)
  return records.head_of(
    OTHER, READY, FRESH_LANE, 1, 0, position, 0, 0, 0, payload_bytes + 1, 0, n, step.now_ms, digest_bytes, '', '',
    records.with_event('', event), ''
  ) .. table.concat(found.named, id)
end

-- Let such jobs stand in their line, at their positions; their budgets come with them. The first of them may lift the line, and
-- open its pool: behind it the others change neither.
function entering.stand(found, ids, positions)
  local spot = lanes.line_of(found.record, fairness.pool(found.record))
  if found.budget then
    for _, id in ipairs(ids) do ledger.put_budget(shapes.budget(id), table.concat(found.budget, id)) end
  end
  lanes.enter(spot, ids[1], positions[1])
  for place = 2, #ids do lanes.put(spot, ids[place], positions[place]) end
  if spot.pool ~= fairness.PLAIN then counters.crowd(spot.queue, spot.band, #ids - 1) end
end
