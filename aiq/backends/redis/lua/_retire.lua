-- retire: a storage that has moved, or is being loaded, takes no writes; one of another layout takes no steps at all.
--
-- The row 'shut' of the counters is there only then: `moved_to` is where the storage goes on, `loading` the move that is
-- being taken in.

-- What the row says; nothing, if the storage is open. One that says neither of the two is no row of ours: to take the
-- storage for open then would let jobs be stored where nobody may look for them any more.
function retire.shut()
  if not rows.has('counters', 'shut') then return {} end
  local shut = rows.get('counters', 'shut')
  if type(shut) ~= 'table' or not (shut.moved_to or shut.loading) then step.refuse('Corrupt', {retire.UNREADABLE}) end
  return shut
end

-- Refuse what another version has laid out in its own way, or has taken to another address since. It is asked in each
-- step, since that version may be the first to store a job in a namespace that this one has opened.
function retire.require_layout()
  rows.fetch('counters', {'shut', 'layout', 'jobs'})
  local layout = rows.get('counters', 'layout') or (rows.has('counters', 'jobs') and 1 or fields.LAYOUT)
  if layout == fields.LAYOUT then return end
  local moved_to = retire.shut().moved_to
  if moved_to then step.refuse('Moved', {moved_to}) end
  step.refuse('StorageMismatch', {layout})
end

-- Refuse to write where nothing may be changed. Spec: MOVE-3, MOVE-4
--
-- Nearly every step needs the counters that are read here with the row in one command.
function retire.require_open()
  rows.fetch('counters', {
    'shut', 'layout', 'events', 'positions', 'jobs', 'letting_go', 'waiting_calls', 'waiting_schedules',
  })
  retire.require_layout()
  local shut = retire.shut()
  if shut.moved_to then step.refuse('Moved', {shut.moved_to}) end
  if shut.loading then step.refuse('Unavailable', {retire.BEING_LOADED}) end
end

retire.BEING_LOADED = 'This storage is being loaded from another one. Try again when that is done.'
retire.HALF_LOADED = 'This storage is being loaded from another one, so it is not whole. '
  .. 'Finish that first: repeat the import.'
retire.UNREADABLE = 'It cannot be read whether this namespace has moved to another address or is being loaded: '
  .. 'that is in the field `shut` of its counters. Nothing was changed. Restore it, or remove it if neither is so.'
