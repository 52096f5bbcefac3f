-- moved: where the storage goes on, if it has moved.
-- flags: allow-oom,no-writes
-- looks
-- returns: an address, or nothing
-- spec: MOVE-8
return retire.shut().moved_to
