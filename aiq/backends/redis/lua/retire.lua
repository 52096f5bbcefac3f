-- retire: answer every write with an address from now on, or open the storage again.
-- flags: allow-oom
-- looks
-- args: moved_to (the address, or nil to open it again), move_id (a name for the move)
-- returns: the name of the move by which the storage went first
-- spec: MOVE-3, MOVE-8, MOVE-9
local shut, moved = retire.shut(), rows.get('counters', 'move') or {}
if args.moved_to and shut.loading then step.refuse('Unavailable', {retire.HALF_LOADED}) end
if args.moved_to and shut.moved_to and shut.moved_to ~= args.moved_to then
  step.refuse('Conflict', {message = 'This storage has moved to ' .. shut.moved_to .. ' already.', reason = 'moved'})
end
if not shut.moved_to then moved = rows.with(moved, {id = args.move_id}) end
rows.put('counters', 'move', moved)
shut = rows.with(shut, {moved_to = args.moved_to or none})
if next(shut) then rows.put('counters', 'shut', shut) else rows.drop('counters', 'shut') end
-- Whoever waits for anything is to hear of it.
step.wake('*')
return moved.id
