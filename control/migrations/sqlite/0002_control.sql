-- Keys that can be disabled, rotated and adopted; one row for each life of a stream; owners and viewers;
-- several tokens for a principal; the trail; repeated requests; gateways.
-- Tables are written anew because their checks change. Foreign keys are off meanwhile, and checked after.

DROP TRIGGER a_revoked_principal_stays;
DROP TRIGGER no_principal_is_erased;
DROP TRIGGER a_new_stream_takes_the_head;
DROP TRIGGER a_changed_stream_takes_the_head;
DROP TRIGGER a_new_key_takes_the_head;
DROP TRIGGER a_changed_key_takes_the_head;
DROP TRIGGER a_revoked_key_stays;
DROP TRIGGER a_key_keeps_its_secret;
DROP TRIGGER no_key_is_erased;
DROP TRIGGER no_stream_is_erased;
DROP TRIGGER a_granted_stream_stays;
DROP TRIGGER only_active_streams_are_granted;
DROP TRIGGER a_revoked_key_has_no_grants;
DROP TRIGGER a_consumer_in_use_stays;

ALTER TABLE consumers ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version > 0);

CREATE TABLE new_principals (
    ordinal      INTEGER PRIMARY KEY AUTOINCREMENT,
    principal_id TEXT    NOT NULL UNIQUE CHECK (length(principal_id) BETWEEN 1 AND 63),
    display_name TEXT    NOT NULL CHECK (length(display_name) <= 200),
    role         TEXT    NOT NULL CHECK (role IN ('admin', 'owner', 'viewer', 'gateway')),
    -- A JSON list of consumer ids: whom an owner, a viewer or a gateway is bound to.
    consumers    TEXT    NOT NULL CHECK (json_valid(consumers) AND json_type(consumers) IS 'array'),
    environment  TEXT    CHECK (environment IN ('production', 'staging', 'development')),
    version      INTEGER NOT NULL CHECK (version > 0),
    create_time  INTEGER NOT NULL CHECK (create_time > 0),
    revoke_time  INTEGER CHECK (revoke_time >= create_time),
    CHECK (role <> 'owner' OR json_array_length(consumers) > 0),
    CHECK (role <> 'admin' OR json_array_length(consumers) = 0),
    CHECK (role = 'gateway' OR environment IS NULL)
) STRICT;

INSERT INTO new_principals
SELECT ordinal, principal_id, display_name, role, '[]', NULL, 1, create_time, revoke_time FROM principals;

CREATE TABLE tokens (
    ordinal       INTEGER PRIMARY KEY AUTOINCREMENT,
    token_id      TEXT    NOT NULL UNIQUE CHECK (length(token_id) = 12),
    principal_id  TEXT    NOT NULL REFERENCES principals (principal_id),
    digest        BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    create_time   INTEGER NOT NULL CHECK (create_time > 0),
    expire_time   INTEGER CHECK (expire_time >= create_time),
    revoke_time   INTEGER CHECK (revoke_time >= create_time),
    last_use_time INTEGER
) STRICT;

INSERT INTO tokens (token_id, principal_id, digest, create_time, revoke_time)
SELECT lower(hex(randomblob(6))), principal_id, digest, create_time, revoke_time FROM principals;

DROP TABLE principals;
ALTER TABLE new_principals RENAME TO principals;
CREATE INDEX tokens_of_principal ON tokens (principal_id);

-- A stream that is deleted and made again by somebody else, or in another environment, is another row:
-- a gateway that served the old one is told of its end, and of nothing else.
CREATE TABLE new_streams (
    stream_id       TEXT    NOT NULL CHECK (length(stream_id) BETWEEN 3 AND 100),
    consumer_id     TEXT    NOT NULL REFERENCES consumers (consumer_id),
    environment     TEXT    NOT NULL CHECK (environment IN ('production', 'staging', 'development')),
    -- A stream of the contract, byte for byte as the gate is given it.
    stream_json     TEXT    NOT NULL CHECK (json_valid(stream_json) AND length(stream_json) <= 8192
        AND json_extract(stream_json, '$.id') IS stream_id
        AND json_extract(stream_json, '$.consumer') IS consumer_id
        AND json_extract(stream_json, '$.environment') IS environment),
    display_name    TEXT    NOT NULL CHECK (length(display_name) <= 200),
    state           TEXT    NOT NULL CHECK (state IN ('active', 'revoked')),
    revision        INTEGER NOT NULL UNIQUE CHECK (revision > 0),
    create_revision INTEGER NOT NULL UNIQUE CHECK (create_revision BETWEEN 1 AND revision),
    create_time     INTEGER NOT NULL CHECK (create_time > 0),
    update_time     INTEGER NOT NULL CHECK (update_time >= create_time),
    PRIMARY KEY (stream_id, consumer_id, environment)
) STRICT, WITHOUT ROWID;

INSERT INTO new_streams
SELECT stream_id, consumer_id, json_extract(stream_json, '$.environment'), stream_json, display_name,
    state, revision, create_revision, create_time, update_time FROM streams;

CREATE TABLE new_api_keys (
    key_id          TEXT    PRIMARY KEY CHECK (length(key_id) = 12),
    consumer_id     TEXT    NOT NULL REFERENCES consumers (consumer_id),
    environment     TEXT    NOT NULL CHECK (environment IN ('production', 'staging', 'development')),
    -- Over all rows, the revoked ones too: a secret that was taken back never comes back.
    digest          BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    -- A grant of the contract, byte for byte as the gate is given it.
    grant_json      TEXT    NOT NULL CHECK (json_valid(grant_json) AND length(grant_json) <= 8192
        AND json_extract(grant_json, '$.key_id') IS key_id
        AND coalesce(json_array_length(grant_json, '$.streams'), 0) > 0),
    sender          TEXT    NOT NULL CHECK (json_extract(grant_json, '$.sender') IS sender),
    nickname        TEXT    NOT NULL CHECK (length(nickname) <= 200),
    description     TEXT    NOT NULL CHECK (length(description) <= 1000),
    state           TEXT    NOT NULL CHECK (state IN ('active', 'disabled', 'revoked')),
    origin          TEXT    NOT NULL CHECK (origin IN ('issued', 'adopted')),
    predecessor     TEXT    CHECK (length(predecessor) = 12),
    successor       TEXT    CHECK (length(successor) = 12),
    revision        INTEGER NOT NULL UNIQUE CHECK (revision > 0),
    create_revision INTEGER NOT NULL UNIQUE CHECK (create_revision BETWEEN 1 AND revision),
    create_time     INTEGER NOT NULL CHECK (create_time > 0),
    revoke_time     INTEGER CHECK (revoke_time >= create_time),
    CHECK ((state = 'revoked') = (revoke_time IS NOT NULL)),
    UNIQUE (key_id, consumer_id, environment)
) STRICT;

INSERT INTO new_api_keys
SELECT key_id, consumer_id,
    (SELECT json_extract(stream_json, '$.environment') FROM streams
        WHERE stream_id = json_extract(grant_json, '$.streams[0]')),
    digest, grant_json, json_extract(grant_json, '$.sender'), nickname, description, state, 'issued',
    NULL, NULL, revision, create_revision, create_time, revoke_time FROM api_keys;

-- Which stream a key that is not revoked may write. The row goes when the key is revoked; its grant
-- remembers. The two references share consumer and environment: no key is granted a stream of somebody
-- else, nor of another environment.
CREATE TABLE new_live_grants (
    key_id      TEXT NOT NULL,
    stream_id   TEXT NOT NULL,
    consumer_id TEXT NOT NULL,
    environment TEXT NOT NULL,
    PRIMARY KEY (key_id, stream_id),
    FOREIGN KEY (key_id, consumer_id, environment)
        REFERENCES api_keys (key_id, consumer_id, environment),
    FOREIGN KEY (stream_id, consumer_id, environment)
        REFERENCES streams (stream_id, consumer_id, environment)
) STRICT, WITHOUT ROWID;

INSERT INTO new_live_grants
SELECT key_id, stream_id, consumer_id,
    (SELECT environment FROM new_api_keys WHERE new_api_keys.key_id = live_grants.key_id)
FROM live_grants;

DROP TABLE live_grants;
DROP TABLE streams;
DROP TABLE api_keys;
ALTER TABLE new_streams RENAME TO streams;
ALTER TABLE new_api_keys RENAME TO api_keys;
ALTER TABLE new_live_grants RENAME TO live_grants;

CREATE UNIQUE INDEX one_active_stream_of_an_id ON streams (stream_id) WHERE state = 'active';
CREATE INDEX streams_of_consumer ON streams (consumer_id, create_revision);
CREATE INDEX keys_of_consumer ON api_keys (consumer_id, create_revision);
CREATE INDEX keys_of_sender ON api_keys (sender) WHERE state <> 'revoked';
CREATE INDEX grants_of_stream ON live_grants (stream_id, consumer_id);

-- How many keys are not revoked: asked before each create.
CREATE TABLE live_counts (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    keys     INTEGER NOT NULL CHECK (keys >= 0)
) STRICT;

INSERT INTO live_counts SELECT 1, count(*) FROM api_keys WHERE state <> 'revoked';

CREATE TRIGGER a_new_key_counts AFTER INSERT ON api_keys WHEN NEW.state <> 'revoked'
BEGIN UPDATE live_counts SET keys = keys + 1; END;

CREATE TRIGGER a_revoked_key_counts_no_more AFTER UPDATE OF state ON api_keys
WHEN OLD.state <> 'revoked' AND NEW.state = 'revoked'
BEGIN UPDATE live_counts SET keys = keys - 1; END;

-- What the gates saw of a key. Not a change of the key: it takes no revision and leaves no trace.
CREATE TABLE key_uses (
    key_id           TEXT PRIMARY KEY REFERENCES api_keys (key_id),
    last_accept_time INTEGER,
    last_refuse_time INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_events (
    ordinal      INTEGER PRIMARY KEY AUTOINCREMENT,
    time         INTEGER NOT NULL CHECK (time > 0),
    principal_id TEXT,
    source       TEXT,
    action       TEXT    NOT NULL CHECK (length(action) BETWEEN 1 AND 32),
    resource     TEXT    NOT NULL CHECK (length(resource) BETWEEN 1 AND 300),
    consumer_id  TEXT,
    request_id   TEXT    CHECK (length(request_id) <= 64),
    revision     INTEGER,
    before_json  TEXT    CHECK (json_valid(before_json)),
    after_json   TEXT    CHECK (json_valid(after_json))
) STRICT;

CREATE TRIGGER the_trail_is_not_rewritten BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'the trail is only appended to'); END;

CREATE TRIGGER the_trail_is_not_erased BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'the trail is only appended to'); END;

-- Requests that were done, so that a repeated one is answered and not done again (AIP-155).
CREATE TABLE requests (
    principal_id TEXT    NOT NULL,
    request_id   TEXT    NOT NULL CHECK (length(request_id) = 36),
    fingerprint  BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    ordinal      INTEGER NOT NULL,
    time         INTEGER NOT NULL,
    PRIMARY KEY (principal_id, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_time ON requests (time);

-- What gateways said of themselves when they last asked. Forgotten after a day of silence.
CREATE TABLE gateways (
    principal_id   TEXT    NOT NULL,
    instance       TEXT    NOT NULL,
    gate           TEXT    NOT NULL,
    node           TEXT    NOT NULL,
    version        TEXT    NOT NULL,
    capabilities   TEXT    NOT NULL CHECK (json_valid(capabilities)),
    environment    TEXT,
    consumers      TEXT    NOT NULL CHECK (json_valid(consumers)),
    revision       INTEGER NOT NULL,
    last_seen_time INTEGER NOT NULL,
    PRIMARY KEY (principal_id, instance)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER a_revoked_principal_stays BEFORE UPDATE ON principals
WHEN OLD.revoke_time IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a revoked principal stays as it is'); END;

CREATE TRIGGER no_principal_is_erased BEFORE DELETE ON principals
BEGIN SELECT RAISE(ABORT, 'principals are revoked, not erased'); END;

CREATE TRIGGER a_token_keeps_its_secret BEFORE UPDATE OF token_id, digest, principal_id ON tokens
BEGIN SELECT RAISE(ABORT, 'a token keeps its id, its secret and its principal'); END;

CREATE TRIGGER a_revoked_token_stays BEFORE UPDATE OF revoke_time, expire_time ON tokens
WHEN OLD.revoke_time IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a revoked token stays revoked'); END;

CREATE TRIGGER no_token_is_erased BEFORE DELETE ON tokens
BEGIN SELECT RAISE(ABORT, 'tokens are revoked, not erased'); END;

CREATE TRIGGER a_new_stream_takes_the_head BEFORE INSERT ON streams
WHEN NEW.revision <> (SELECT head FROM allowlist)
BEGIN SELECT RAISE(ABORT, 'a change carries the revision of its transaction'); END;

CREATE TRIGGER a_changed_stream_takes_the_head BEFORE UPDATE ON streams
WHEN NEW.revision <> (SELECT head FROM allowlist) OR NEW.revision <= OLD.revision
BEGIN SELECT RAISE(ABORT, 'a change carries the revision of its transaction'); END;

CREATE TRIGGER a_new_key_takes_the_head BEFORE INSERT ON api_keys
WHEN NEW.revision <> (SELECT head FROM allowlist)
BEGIN SELECT RAISE(ABORT, 'a change carries the revision of its transaction'); END;

CREATE TRIGGER a_changed_key_takes_the_head BEFORE UPDATE ON api_keys
WHEN NEW.revision <> (SELECT head FROM allowlist) OR NEW.revision <= OLD.revision
BEGIN SELECT RAISE(ABORT, 'a change carries the revision of its transaction'); END;

CREATE TRIGGER a_revoked_key_stays BEFORE UPDATE ON api_keys WHEN OLD.state = 'revoked'
BEGIN SELECT RAISE(ABORT, 'a revoked key stays as it is'); END;

CREATE TRIGGER a_key_keeps_its_secret
BEFORE UPDATE OF key_id, digest, consumer_id, environment, origin, sender ON api_keys
BEGIN SELECT RAISE(ABORT, 'a key keeps its id, its secret, its sender, its consumer and its environment'); END;

CREATE TRIGGER no_key_is_erased BEFORE DELETE ON api_keys
BEGIN SELECT RAISE(ABORT, 'keys are revoked, not erased'); END;

CREATE TRIGGER no_stream_is_erased BEFORE DELETE ON streams
BEGIN SELECT RAISE(ABORT, 'streams are revoked, not erased'); END;

CREATE TRIGGER a_granted_stream_stays BEFORE UPDATE OF state ON streams
WHEN NEW.state = 'revoked'
    AND EXISTS (SELECT 1 FROM live_grants WHERE live_grants.stream_id = OLD.stream_id
        AND live_grants.consumer_id = OLD.consumer_id AND live_grants.environment = OLD.environment)
BEGIN SELECT RAISE(ABORT, 'an active key is granted this stream'); END;

CREATE TRIGGER only_active_streams_are_granted BEFORE INSERT ON live_grants
WHEN NOT EXISTS (SELECT 1 FROM streams WHERE streams.stream_id = NEW.stream_id
    AND streams.consumer_id = NEW.consumer_id AND streams.environment = NEW.environment
    AND streams.state = 'active')
BEGIN SELECT RAISE(ABORT, 'only an active stream of the key''s own consumer and environment is granted'); END;

CREATE TRIGGER a_revoked_key_has_no_grants AFTER UPDATE OF state ON api_keys
WHEN NEW.state = 'revoked'
BEGIN DELETE FROM live_grants WHERE live_grants.key_id = NEW.key_id; END;

CREATE TRIGGER a_consumer_in_use_stays BEFORE UPDATE OF delete_time ON consumers
WHEN NEW.delete_time IS NOT NULL AND (
    EXISTS (SELECT 1 FROM streams WHERE consumer_id = OLD.consumer_id AND state = 'active')
    OR EXISTS (SELECT 1 FROM api_keys WHERE consumer_id = OLD.consumer_id AND state <> 'revoked'))
BEGIN SELECT RAISE(ABORT, 'the consumer has active streams or keys'); END;
