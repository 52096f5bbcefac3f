-- Jobs that were left in transactions of their callers: `content` is a batch, which the steps read whole. One that
-- cannot be stored stays, with its `error`.
CREATE TABLE aiq_inbox (
    number INTEGER PRIMARY KEY,
    content BLOB NOT NULL,
    error TEXT
);

CREATE INDEX aiq_inbox_new ON aiq_inbox (number) WHERE error IS NULL;
