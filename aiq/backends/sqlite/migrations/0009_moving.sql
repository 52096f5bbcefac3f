-- Moving: whether the storage may be written, and which move it came from.
--
-- `state` is 'loading' while the move `told` is taken in, 'moved' when the storage goes on at `told`, and 'loaded' when
-- the move `told` was taken in. In all but the last nothing else may be written.
CREATE TABLE aiq_moving (
    state TEXT PRIMARY KEY CHECK (state IN ('loading', 'moved', 'loaded')),
    told TEXT NOT NULL
) WITHOUT ROWID;
