-- A database of schema version 1, dumped: written before keys had restrictions and streams protocol
-- rules. Never edited: it is what is out there.
PRAGMA application_id = 1836083060;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE allowlist (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch    TEXT    NOT NULL CHECK (length(epoch) BETWEEN 1 AND 64),
    head     INTEGER NOT NULL CHECK (head >= 0)
) STRICT;
INSERT INTO "allowlist" VALUES(1,'6a27c43a348016095e5ea22382a093ef',7);
CREATE TABLE api_keys (
    key_id          TEXT    PRIMARY KEY CHECK (length(key_id) = 12),
    consumer_id     TEXT    NOT NULL REFERENCES consumers (consumer_id),
    -- Over all rows, the revoked ones too: a secret that was taken back never comes back.
    digest          BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    -- A grant of the contract, byte for byte as the gate is given it.
    grant_json      TEXT    NOT NULL CHECK (json_valid(grant_json) AND length(grant_json) <= 8192
        AND json_extract(grant_json, '$.key_id') IS key_id
        AND coalesce(json_array_length(grant_json, '$.streams'), 0) > 0),
    nickname        TEXT    NOT NULL CHECK (length(nickname) <= 200),
    description     TEXT    NOT NULL CHECK (length(description) <= 1000),
    state           TEXT    NOT NULL CHECK (state IN ('active', 'revoked')),
    revision        INTEGER NOT NULL UNIQUE CHECK (revision > 0),
    create_revision INTEGER NOT NULL UNIQUE CHECK (create_revision BETWEEN 1 AND revision),
    create_time     INTEGER NOT NULL CHECK (create_time > 0),
    revoke_time     INTEGER CHECK (revoke_time >= create_time),
    CHECK ((state = 'revoked') = (revoke_time IS NOT NULL)),
    UNIQUE (key_id, consumer_id)
) STRICT;
INSERT INTO "api_keys" VALUES('TdNPHM19kgiE','acme',X'145A847BDC8BA0DD5C6B692D2EBA61BB067A68A684325B0F6E6C22C8E4A820F4','{"key_id":"TdNPHM19kgiE","sender":"billing","streams":["G-A","G-B"],"not_before":1767225600,"expire_time":4070908800}','Bills','nightly','active',5,5,1795257872,NULL);
INSERT INTO "api_keys" VALUES('92AHAM5GLpMa','acme',X'7B6688B2648B16EE5C83B38CCF2AB1C0135CF780F049E3CF85E35ECD21009BB3','{"key_id":"92AHAM5GLpMa","sender":"crm","streams":["G-B"]}','','','revoked',7,6,1795257872,1795257872);
CREATE TABLE consumers (
    ordinal      INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer_id  TEXT    NOT NULL UNIQUE CHECK (length(consumer_id) BETWEEN 1 AND 63),
    display_name TEXT    NOT NULL CHECK (length(display_name) <= 200),
    create_time  INTEGER NOT NULL CHECK (create_time > 0),
    delete_time  INTEGER CHECK (delete_time >= create_time)
) STRICT;
INSERT INTO "consumers" VALUES(1,'acme','Acme',1795257872,NULL);
CREATE TABLE live_grants (
    key_id      TEXT NOT NULL,
    stream_id   TEXT NOT NULL,
    consumer_id TEXT NOT NULL,
    PRIMARY KEY (key_id, stream_id),
    FOREIGN KEY (key_id, consumer_id) REFERENCES api_keys (key_id, consumer_id),
    FOREIGN KEY (stream_id, consumer_id) REFERENCES streams (stream_id, consumer_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "live_grants" VALUES('TdNPHM19kgiE','G-A','acme');
INSERT INTO "live_grants" VALUES('TdNPHM19kgiE','G-B','acme');
CREATE TABLE principals (
    ordinal      INTEGER PRIMARY KEY AUTOINCREMENT,
    principal_id TEXT    NOT NULL UNIQUE CHECK (length(principal_id) BETWEEN 1 AND 63),
    display_name TEXT    NOT NULL CHECK (length(display_name) <= 200),
    role         TEXT    NOT NULL CHECK (role IN ('admin', 'gateway')),
    digest       BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    create_time  INTEGER NOT NULL CHECK (create_time > 0),
    revoke_time  INTEGER CHECK (revoke_time >= create_time)
) STRICT;
INSERT INTO "principals" VALUES(1,'admin','First administrator','admin',X'09F52DB9556571C287A7378B81D4C9CEC24E01197A37BD357FE4FBDC154D357C',1795257871,NULL);
CREATE TABLE streams (
    stream_id       TEXT    PRIMARY KEY CHECK (length(stream_id) BETWEEN 3 AND 100),
    consumer_id     TEXT    NOT NULL REFERENCES consumers (consumer_id),
    -- A stream of the contract, byte for byte as the gate is given it.
    stream_json     TEXT    NOT NULL CHECK (json_valid(stream_json) AND length(stream_json) <= 8192
        AND json_extract(stream_json, '$.id') IS stream_id
        AND json_extract(stream_json, '$.consumer') IS consumer_id
        AND coalesce(json_extract(stream_json, '$.environment'), '')
            IN ('production', 'staging', 'development')),
    display_name    TEXT    NOT NULL CHECK (length(display_name) <= 200),
    state           TEXT    NOT NULL CHECK (state IN ('active', 'revoked')),
    revision        INTEGER NOT NULL UNIQUE CHECK (revision > 0),
    create_revision INTEGER NOT NULL UNIQUE CHECK (create_revision BETWEEN 1 AND revision),
    create_time     INTEGER NOT NULL CHECK (create_time > 0),
    update_time     INTEGER NOT NULL CHECK (update_time >= create_time),
    UNIQUE (stream_id, consumer_id)
) STRICT;
INSERT INTO "streams" VALUES('G-A','acme','{"id":"G-A","consumer":"acme","environment":"production","mode":"dry_run","upstream_secret":{"replace":"GA4_SECRET"}}','Shop','active',1,1,1795257872,1795257872);
INSERT INTO "streams" VALUES('G-B','acme','{"id":"G-B","consumer":"acme","environment":"production","upstream_secret":"keep"}','','active',2,2,1795257872,1795257872);
INSERT INTO "streams" VALUES('G-GONE','acme','{"id":"G-GONE","consumer":"acme","environment":"staging","upstream_secret":"none"}','','revoked',4,3,1795257872,1795257872);
CREATE TRIGGER head_only_grows BEFORE UPDATE OF head ON allowlist
WHEN NEW.head <= OLD.head AND NEW.epoch = OLD.epoch
BEGIN SELECT RAISE(ABORT, 'a revision is never given out twice'); END;
CREATE TRIGGER a_revoked_principal_stays BEFORE UPDATE ON principals
WHEN OLD.revoke_time IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a revoked principal stays as it is'); END;
CREATE TRIGGER no_principal_is_erased BEFORE DELETE ON principals
BEGIN SELECT RAISE(ABORT, 'principals are revoked, not erased'); END;
CREATE INDEX streams_of_consumer ON streams (consumer_id, create_revision);
CREATE INDEX keys_of_consumer ON api_keys (consumer_id, create_revision);
CREATE INDEX grants_of_stream ON live_grants (stream_id, consumer_id);
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
CREATE TRIGGER a_key_keeps_its_secret BEFORE UPDATE OF key_id, digest, consumer_id ON api_keys
BEGIN SELECT RAISE(ABORT, 'a key keeps its id, its secret and its consumer'); END;
CREATE TRIGGER no_key_is_erased BEFORE DELETE ON api_keys
BEGIN SELECT RAISE(ABORT, 'keys are revoked, not erased'); END;
CREATE TRIGGER no_stream_is_erased BEFORE DELETE ON streams
BEGIN SELECT RAISE(ABORT, 'streams are revoked, not erased'); END;
CREATE TRIGGER a_granted_stream_stays BEFORE UPDATE OF state ON streams
WHEN NEW.state = 'revoked'
    AND EXISTS (SELECT 1 FROM live_grants WHERE live_grants.stream_id = OLD.stream_id)
BEGIN SELECT RAISE(ABORT, 'an active key is granted this stream'); END;
CREATE TRIGGER only_active_streams_are_granted BEFORE INSERT ON live_grants
WHEN (SELECT state FROM streams WHERE streams.stream_id = NEW.stream_id) <> 'active'
BEGIN SELECT RAISE(ABORT, 'a deleted stream cannot be granted'); END;
CREATE TRIGGER a_revoked_key_has_no_grants AFTER UPDATE OF state ON api_keys
WHEN NEW.state = 'revoked'
BEGIN DELETE FROM live_grants WHERE live_grants.key_id = NEW.key_id; END;
CREATE TRIGGER a_consumer_in_use_stays BEFORE UPDATE OF delete_time ON consumers
WHEN NEW.delete_time IS NOT NULL AND (
    EXISTS (SELECT 1 FROM streams WHERE consumer_id = OLD.consumer_id AND state = 'active')
    OR EXISTS (SELECT 1 FROM api_keys WHERE consumer_id = OLD.consumer_id AND state = 'active'))
BEGIN SELECT RAISE(ABORT, 'the consumer has active streams or keys'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('principals',1);
INSERT INTO "sqlite_sequence" VALUES('consumers',1);
COMMIT;
