-- retire: a storage that has moved, or is being loaded, takes no writes.
--
-- The row 'shut' of the counters is there only then: `moved_to` is where the storage goes on, `loading` the move that is
-- being taken in.

-- Refuse to write where nothing may be changed. Spec: MOVE-3, MOVE-4
--
-- Nearly every step needs the counters that are read here with the row in one command.
function retire.require_open()
  rows.fetch('counters', {'shut', 'events', 'positions', 'jobs', 'letting_go', 'waiting_calls', 'waiting_schedules'})
  local shut = counters.get('shut')
  if shut == 0 then return end
  if shut.moved_to then step.refuse('Moved', {shut.moved_to}) end
  step.refuse('Unavailable', {retire.BEING_LOADED})
end

retire.BEING_LOADED = 'This storage is being loaded from another one. Try again when that is done.'
retire.HALF_LOADED = 'This storage is being loaded from another one, so it is not whole. '
  .. 'Finish that first: repeat the import.'
