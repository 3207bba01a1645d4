-- What backends say they sent, held against what the gates counted; and the role of those that say it.
-- The principals' table is written anew because its check changes. Foreign keys are off meanwhile, and checked after.

DROP TRIGGER a_revoked_principal_stays;
DROP TRIGGER no_principal_is_erased;

CREATE TABLE new_principals (
    ordinal      INTEGER PRIMARY KEY AUTOINCREMENT,
    principal_id TEXT    NOT NULL UNIQUE CHECK (length(principal_id) BETWEEN 1 AND 63),
    display_name TEXT    NOT NULL CHECK (length(display_name) <= 200),
    role         TEXT    NOT NULL CHECK (role IN ('admin', 'owner', 'viewer', 'reporter', 'gateway')),
    -- A JSON list of consumer ids: whom an owner, a viewer, a reporter or a gateway is bound to.
    consumers    TEXT    NOT NULL CHECK (json_valid(consumers) AND json_type(consumers) IS 'array'),
    environment  TEXT    CHECK (environment IN ('production', 'staging', 'development')),
    version      INTEGER NOT NULL CHECK (version > 0),
    create_time  INTEGER NOT NULL CHECK (create_time > 0),
    revoke_time  INTEGER CHECK (revoke_time >= create_time),
    CHECK (role NOT IN ('owner', 'reporter') OR json_array_length(consumers) > 0),
    CHECK (role <> 'admin' OR json_array_length(consumers) = 0),
    CHECK (role = 'gateway' OR environment IS NULL)
) STRICT;

INSERT INTO new_principals SELECT * FROM principals;
DROP TABLE principals;
ALTER TABLE new_principals RENAME TO principals;

CREATE TRIGGER a_revoked_principal_stays BEFORE UPDATE ON principals
WHEN OLD.revoke_time IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a revoked principal stays as it is'); END;

CREATE TRIGGER no_principal_is_erased BEFORE DELETE ON principals
BEGIN SELECT RAISE(ABORT, 'principals are revoked, not erased'); END;

-- A day's total of one event and what the gates had counted of it when it was posted. No revision, no trace:
-- nothing here changes the list, and each row says whose it is and when it came.
CREATE TABLE reconciliations (
    ordinal        INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer_id    TEXT    NOT NULL REFERENCES consumers (consumer_id),
    sender         TEXT    NOT NULL CHECK (length(sender) BETWEEN 1 AND 63),
    stream_id      TEXT    NOT NULL CHECK (length(stream_id) BETWEEN 3 AND 100),
    -- When the day begins, in UTC.
    day            INTEGER NOT NULL CHECK (day >= 0 AND day % 86400 = 0),
    event          TEXT    NOT NULL CHECK (length(event) BETWEEN 1 AND 41),
    count          INTEGER NOT NULL CHECK (count >= 0),
    measure        TEXT    NOT NULL CHECK (measure IN ('measured', 'partly_measured', 'bodies_not_read', 'event_not_named')),
    -- None where the gates did not count it.
    gate_count     INTEGER,
    -- A JSON list: currency, micros, and gate_micros where the gates told it apart.
    value_json     TEXT    NOT NULL CHECK (json_valid(value_json) AND json_type(value_json) IS 'array'),
    principal_id   TEXT    NOT NULL,
    reconcile_time INTEGER NOT NULL CHECK (reconcile_time > 0),
    CHECK ((gate_count IS NULL) = (measure IN ('bodies_not_read', 'event_not_named'))),
    UNIQUE (consumer_id, sender, stream_id, day, event)
) STRICT;

CREATE INDEX reconciliations_by_day ON reconciliations (day);

-- For the metrics: since when there has been a change that a gateway does not have, and which keys end next.
CREATE INDEX audit_by_revision ON audit_events (revision) WHERE revision IS NOT NULL;
CREATE INDEX keys_by_end ON api_keys (json_extract(grant_json, '$.expire_time'))
WHERE state = 'active' AND json_extract(grant_json, '$.expire_time') IS NOT NULL;
