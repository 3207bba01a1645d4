-- What the gates counted, by the hour, and how far each of them was heard. Neither changes the list: no
-- revision, no trace.

-- kind: accepted, refused, dry_run (name: the reason), event (name), value (name, currency; count in
-- millionths), timed, delay (count in seconds). What does not apply is an empty text.
CREATE TABLE usage_counts (
    key_id    TEXT    NOT NULL REFERENCES api_keys (key_id),
    hour      INTEGER NOT NULL CHECK (hour >= 0 AND hour % 3600 = 0),
    stream_id TEXT    NOT NULL CHECK (length(stream_id) <= 100),
    kind      TEXT    NOT NULL CHECK (kind IN ('accepted', 'refused', 'dry_run', 'event', 'value', 'timed', 'delay')),
    name      TEXT    NOT NULL CHECK (length(name) <= 64),
    currency  TEXT    NOT NULL CHECK (length(currency) <= 5),
    count     INTEGER NOT NULL,
    PRIMARY KEY (key_id, hour, stream_id, kind, name, currency)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_by_hour ON usage_counts (hour);

-- The last report of each VM that was counted: one that comes again is not.
CREATE TABLE usage_reporters (
    principal_id     TEXT    NOT NULL REFERENCES principals (principal_id),
    vm               TEXT    NOT NULL CHECK (length(vm) = 16),
    sequence         INTEGER NOT NULL CHECK (sequence > 0),
    last_report_time INTEGER NOT NULL,
    PRIMARY KEY (principal_id, vm)
) STRICT, WITHOUT ROWID;

CREATE INDEX reporters_by_time ON usage_reporters (last_report_time);
