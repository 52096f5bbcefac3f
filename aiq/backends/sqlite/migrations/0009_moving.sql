-- Moving: whether the storage may be written, and which move it came from.
--
-- `state` is 'loading' while the move `told` is taken in, 'moved' when the storage goes on at `told`: nothing else may be
-- written then. 'move' names the move by which it went last, 'loaded' the one that was taken in.
CREATE TABLE aiq_moving (
    state TEXT PRIMARY KEY CHECK (state = 'loading' OR state = 'moved' OR state = 'move' OR state = 'loaded'),
    told TEXT NOT NULL
) WITHOUT ROWID;
