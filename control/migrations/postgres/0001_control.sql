-- The allowlist, its owners, who may change it, and what the gates said: what SQLite's first four migrations
-- make. Times are Unix seconds. Texts are compared byte by byte, as in SQLite: an index does not depend on the
-- machine's locale. The triggers hold what a wrong program must not be able to break; the program checks
-- first and says it in words. Names are in full, so that a restore of a dump finds them.

-- One row: one life of this database, the last revision given out in it, and which database it was then: a
-- copy, or a server that took over, is another one (`store/postgres/lineage.rs`).
-- Who writes holds this row's lock from the beginning to the commit.
CREATE TABLE mpgate.allowlist (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch    TEXT COLLATE "C" NOT NULL CHECK (length(epoch) BETWEEN 1 AND 64),
    head     BIGINT NOT NULL CHECK (head >= 0),
    lineage  TEXT COLLATE "C" NOT NULL
);

CREATE FUNCTION mpgate.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$;

CREATE TRIGGER head_only_grows BEFORE UPDATE OF head ON mpgate.allowlist FOR EACH ROW
WHEN (NEW.head <= OLD.head AND NEW.epoch = OLD.epoch)
EXECUTE FUNCTION mpgate.refuse('a revision is never given out twice');

CREATE TABLE mpgate.consumers (
    ordinal      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_id  TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(consumer_id) BETWEEN 1 AND 63),
    display_name TEXT COLLATE "C" NOT NULL CHECK (length(display_name) <= 200),
    version      BIGINT NOT NULL CHECK (version > 0),
    create_time  BIGINT NOT NULL CHECK (create_time > 0),
    delete_time  BIGINT CHECK (delete_time >= create_time)
);

CREATE TABLE mpgate.principals (
    ordinal      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    principal_id TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(principal_id) BETWEEN 1 AND 63),
    display_name TEXT COLLATE "C" NOT NULL CHECK (length(display_name) <= 200),
    role         TEXT COLLATE "C" NOT NULL CHECK (role IN ('admin', 'owner', 'viewer', 'reporter', 'gateway')),
    -- A JSON list of consumer ids: whom an owner, a viewer, a reporter or a gateway is bound to.
    consumers    TEXT COLLATE "C" NOT NULL CHECK (json_typeof(consumers::json) = 'array'),
    environment  TEXT COLLATE "C" CHECK (environment IN ('production', 'staging', 'development')),
    version      BIGINT NOT NULL CHECK (version > 0),
    create_time  BIGINT NOT NULL CHECK (create_time > 0),
    revoke_time  BIGINT CHECK (revoke_time >= create_time),
    CHECK (role NOT IN ('owner', 'reporter') OR json_array_length(consumers::json) > 0),
    CHECK (role <> 'admin' OR json_array_length(consumers::json) = 0),
    CHECK (role = 'gateway' OR environment IS NULL)
);

CREATE TABLE mpgate.tokens (
    ordinal       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_id      TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(token_id) = 12),
    principal_id  TEXT COLLATE "C" NOT NULL REFERENCES mpgate.principals (principal_id),
    digest        BYTEA NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    create_time   BIGINT NOT NULL CHECK (create_time > 0),
    expire_time   BIGINT CHECK (expire_time >= create_time),
    revoke_time   BIGINT CHECK (revoke_time >= create_time),
    last_use_time BIGINT
);

CREATE INDEX tokens_of_principal ON mpgate.tokens (principal_id);

-- A stream that is deleted and made again by somebody else, or in another environment, is another row:
-- a gateway that served the old one is told of its end, and of nothing else.
CREATE TABLE mpgate.streams (
    stream_id       TEXT COLLATE "C" NOT NULL CHECK (length(stream_id) BETWEEN 3 AND 100),
    consumer_id     TEXT COLLATE "C" NOT NULL REFERENCES mpgate.consumers (consumer_id),
    environment     TEXT COLLATE "C" NOT NULL CHECK (environment IN ('production', 'staging', 'development')),
    -- A stream of the contract, byte for byte as the gate is given it.
    stream_json     TEXT COLLATE "C" NOT NULL CHECK (length(stream_json) <= 8192
        AND stream_json::json ->> 'id' IS NOT DISTINCT FROM stream_id
        AND stream_json::json ->> 'consumer' IS NOT DISTINCT FROM consumer_id
        AND stream_json::json ->> 'environment' IS NOT DISTINCT FROM environment),
    display_name    TEXT COLLATE "C" NOT NULL CHECK (length(display_name) <= 200),
    state           TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'revoked')),
    revision        BIGINT NOT NULL UNIQUE CHECK (revision > 0),
    create_revision BIGINT NOT NULL UNIQUE CHECK (create_revision BETWEEN 1 AND revision),
    create_time     BIGINT NOT NULL CHECK (create_time > 0),
    update_time     BIGINT NOT NULL CHECK (update_time >= create_time),
    PRIMARY KEY (stream_id, consumer_id, environment)
);

CREATE UNIQUE INDEX one_active_stream_of_an_id ON mpgate.streams (stream_id) WHERE state = 'active';
CREATE INDEX streams_of_consumer ON mpgate.streams (consumer_id, create_revision);

CREATE TABLE mpgate.api_keys (
    key_id          TEXT COLLATE "C" PRIMARY KEY CHECK (length(key_id) = 12),
    consumer_id     TEXT COLLATE "C" NOT NULL REFERENCES mpgate.consumers (consumer_id),
    environment     TEXT COLLATE "C" NOT NULL CHECK (environment IN ('production', 'staging', 'development')),
    -- Over all rows, the revoked ones too: a secret that was taken back never comes back.
    digest          BYTEA NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    -- A grant of the contract, byte for byte as the gate is given it.
    grant_json      TEXT COLLATE "C" NOT NULL CHECK (length(grant_json) <= 8192
        AND grant_json::json ->> 'key_id' IS NOT DISTINCT FROM key_id
        AND coalesce(json_array_length(grant_json::json -> 'streams'), 0) > 0),
    sender          TEXT COLLATE "C" NOT NULL
        CHECK (grant_json::json ->> 'sender' IS NOT DISTINCT FROM sender),
    nickname        TEXT COLLATE "C" NOT NULL CHECK (length(nickname) <= 200),
    description     TEXT COLLATE "C" NOT NULL CHECK (length(description) <= 1000),
    state           TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'disabled', 'revoked')),
    origin          TEXT COLLATE "C" NOT NULL CHECK (origin IN ('issued', 'adopted')),
    predecessor     TEXT COLLATE "C" CHECK (length(predecessor) = 12),
    successor       TEXT COLLATE "C" CHECK (length(successor) = 12),
    revision        BIGINT NOT NULL UNIQUE CHECK (revision > 0),
    create_revision BIGINT NOT NULL UNIQUE CHECK (create_revision BETWEEN 1 AND revision),
    create_time     BIGINT NOT NULL CHECK (create_time > 0),
    revoke_time     BIGINT CHECK (revoke_time >= create_time),
    CHECK ((state = 'revoked') = (revoke_time IS NOT NULL)),
    UNIQUE (key_id, consumer_id, environment)
);

CREATE INDEX keys_of_consumer ON mpgate.api_keys (consumer_id, create_revision);
CREATE INDEX keys_of_sender ON mpgate.api_keys (sender) WHERE state <> 'revoked';

-- Which stream a key that is not revoked may write. The row goes when the key is revoked; its grant
-- remembers. The two references share consumer and environment: no key is granted a stream of somebody
-- else, nor of another environment.
CREATE TABLE mpgate.live_grants (
    key_id      TEXT COLLATE "C" NOT NULL,
    stream_id   TEXT COLLATE "C" NOT NULL,
    consumer_id TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (key_id, stream_id),
    FOREIGN KEY (key_id, consumer_id, environment)
        REFERENCES mpgate.api_keys (key_id, consumer_id, environment),
    FOREIGN KEY (stream_id, consumer_id, environment)
        REFERENCES mpgate.streams (stream_id, consumer_id, environment)
);

CREATE INDEX grants_of_stream ON mpgate.live_grants (stream_id, consumer_id);

-- How many keys are not revoked: asked before each create.
CREATE TABLE mpgate.live_counts (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    keys     BIGINT NOT NULL CHECK (keys >= 0)
);

INSERT INTO mpgate.live_counts VALUES (1, 0);

-- What the gates saw of a key. Not a change of the key: it takes no revision and leaves no trace.
CREATE TABLE mpgate.key_uses (
    key_id           TEXT COLLATE "C" PRIMARY KEY REFERENCES mpgate.api_keys (key_id),
    last_accept_time BIGINT,
    last_refuse_time BIGINT
);

CREATE TABLE mpgate.audit_events (
    ordinal      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time         BIGINT NOT NULL CHECK (time > 0),
    principal_id TEXT COLLATE "C",
    source       TEXT COLLATE "C",
    action       TEXT COLLATE "C" NOT NULL CHECK (length(action) BETWEEN 1 AND 32),
    resource     TEXT COLLATE "C" NOT NULL CHECK (length(resource) BETWEEN 1 AND 300),
    consumer_id  TEXT COLLATE "C",
    request_id   TEXT COLLATE "C" CHECK (length(request_id) <= 64),
    revision     BIGINT,
    before_json  TEXT COLLATE "C" CHECK (json_typeof(before_json::json) <> ''),
    after_json   TEXT COLLATE "C" CHECK (json_typeof(after_json::json) <> '')
);

-- Requests that were done, so that a repeated one is answered and not done again (AIP-155).
CREATE TABLE mpgate.requests (
    principal_id TEXT COLLATE "C" NOT NULL,
    request_id   TEXT COLLATE "C" NOT NULL CHECK (length(request_id) = 36),
    fingerprint  BYTEA NOT NULL CHECK (octet_length(fingerprint) = 32),
    ordinal      BIGINT NOT NULL,
    time         BIGINT NOT NULL,
    PRIMARY KEY (principal_id, request_id)
);

CREATE INDEX requests_by_time ON mpgate.requests (time);

-- What gateways said of themselves when they last asked. Forgotten after a day of silence.
CREATE TABLE mpgate.gateways (
    principal_id   TEXT COLLATE "C" NOT NULL,
    instance       TEXT COLLATE "C" NOT NULL,
    gate           TEXT COLLATE "C" NOT NULL,
    node           TEXT COLLATE "C" NOT NULL,
    version        TEXT COLLATE "C" NOT NULL,
    capabilities   TEXT COLLATE "C" NOT NULL CHECK (json_typeof(capabilities::json) = 'array'),
    environment    TEXT COLLATE "C",
    consumers      TEXT COLLATE "C" NOT NULL CHECK (json_typeof(consumers::json) = 'array'),
    revision       BIGINT NOT NULL,
    last_seen_time BIGINT NOT NULL,
    PRIMARY KEY (principal_id, instance)
);

-- What the gates counted, by the hour. kind: accepted, refused, dry_run (name: the reason), event (name),
-- value (name, currency; count in millionths), timed, delay (count in seconds). What does not apply is an
-- empty text.
CREATE TABLE mpgate.usage_counts (
    key_id    TEXT COLLATE "C" NOT NULL REFERENCES mpgate.api_keys (key_id),
    hour      BIGINT NOT NULL CHECK (hour >= 0 AND hour % 3600 = 0),
    stream_id TEXT COLLATE "C" NOT NULL CHECK (length(stream_id) <= 100),
    kind      TEXT COLLATE "C" NOT NULL
        CHECK (kind IN ('accepted', 'refused', 'dry_run', 'event', 'value', 'timed', 'delay')),
    name      TEXT COLLATE "C" NOT NULL CHECK (length(name) <= 64),
    currency  TEXT COLLATE "C" NOT NULL CHECK (length(currency) <= 5),
    count     BIGINT NOT NULL,
    PRIMARY KEY (key_id, hour, stream_id, kind, name, currency)
);

CREATE INDEX usage_by_hour ON mpgate.usage_counts (hour);

-- The last report of each VM that was counted: one that comes again is not.
CREATE TABLE mpgate.usage_reporters (
    principal_id     TEXT COLLATE "C" NOT NULL REFERENCES mpgate.principals (principal_id),
    vm               TEXT COLLATE "C" NOT NULL CHECK (length(vm) = 16),
    sequence         BIGINT NOT NULL CHECK (sequence > 0),
    last_report_time BIGINT NOT NULL,
    PRIMARY KEY (principal_id, vm)
);

CREATE INDEX reporters_by_time ON mpgate.usage_reporters (last_report_time);

-- A day's total of one event and what the gates had counted of it when it was posted. No revision, no trace:
-- nothing here changes the list, and each row says whose it is and when it came.
CREATE TABLE mpgate.reconciliations (
    ordinal        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_id    TEXT COLLATE "C" NOT NULL REFERENCES mpgate.consumers (consumer_id),
    sender         TEXT COLLATE "C" NOT NULL CHECK (length(sender) BETWEEN 1 AND 63),
    stream_id      TEXT COLLATE "C" NOT NULL CHECK (length(stream_id) BETWEEN 3 AND 100),
    -- When the day begins, in UTC.
    day            BIGINT NOT NULL CHECK (day >= 0 AND day % 86400 = 0),
    event          TEXT COLLATE "C" NOT NULL CHECK (length(event) BETWEEN 1 AND 41),
    count          BIGINT NOT NULL CHECK (count >= 0),
    measure        TEXT COLLATE "C" NOT NULL
        CHECK (measure IN ('measured', 'partly_measured', 'bodies_not_read', 'event_not_named')),
    -- None where the gates did not count it.
    gate_count     BIGINT,
    -- A JSON list: currency, micros, and gate_micros where the gates told it apart.
    value_json     TEXT COLLATE "C" NOT NULL CHECK (json_typeof(value_json::json) = 'array'),
    principal_id   TEXT COLLATE "C" NOT NULL,
    reconcile_time BIGINT NOT NULL CHECK (reconcile_time > 0),
    CHECK ((gate_count IS NULL) = (measure IN ('bodies_not_read', 'event_not_named'))),
    UNIQUE (consumer_id, sender, stream_id, day, event)
);

CREATE INDEX reconciliations_by_day ON mpgate.reconciliations (day);

-- For the metrics: since when there has been a change that a gateway does not have, and which keys end next.
CREATE INDEX audit_by_revision ON mpgate.audit_events (revision) WHERE revision IS NOT NULL;
CREATE INDEX keys_by_end ON mpgate.api_keys (((grant_json::json ->> 'expire_time')::bigint))
WHERE state = 'active' AND (grant_json::json ->> 'expire_time') IS NOT NULL;

CREATE FUNCTION mpgate.takes_the_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.revision <> (SELECT head FROM mpgate.allowlist) OR (TG_OP = 'UPDATE' AND NEW.revision <= OLD.revision) THEN
        RAISE EXCEPTION 'a change carries the revision of its transaction';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION mpgate.counts_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE mpgate.live_counts SET keys = keys + CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    RETURN NULL;
END $$;

CREATE FUNCTION mpgate.ends_grants() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM mpgate.live_grants WHERE key_id = NEW.key_id;
    RETURN NULL;
END $$;

CREATE FUNCTION mpgate.granted_stream_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM mpgate.live_grants AS held WHERE held.stream_id = OLD.stream_id
            AND held.consumer_id = OLD.consumer_id AND held.environment = OLD.environment) THEN
        RAISE EXCEPTION 'an active key is granted this stream';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION mpgate.only_active_streams() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM mpgate.streams AS found WHERE found.stream_id = NEW.stream_id
            AND found.consumer_id = NEW.consumer_id AND found.environment = NEW.environment
            AND found.state = 'active') THEN
        RAISE EXCEPTION 'only an active stream of the key''s own consumer and environment is granted';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION mpgate.consumer_in_use_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM mpgate.streams WHERE consumer_id = OLD.consumer_id AND state = 'active')
            OR EXISTS (SELECT 1 FROM mpgate.api_keys WHERE consumer_id = OLD.consumer_id AND state <> 'revoked') THEN
        RAISE EXCEPTION 'the consumer has active streams or keys';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER a_revoked_principal_stays BEFORE UPDATE ON mpgate.principals FOR EACH ROW
WHEN (OLD.revoke_time IS NOT NULL) EXECUTE FUNCTION mpgate.refuse('a revoked principal stays as it is');

CREATE TRIGGER no_principal_is_erased BEFORE DELETE OR TRUNCATE ON mpgate.principals
EXECUTE FUNCTION mpgate.refuse('principals are revoked, not erased');

CREATE TRIGGER a_token_keeps_its_secret BEFORE UPDATE OF token_id, digest, principal_id ON mpgate.tokens
EXECUTE FUNCTION mpgate.refuse('a token keeps its id, its secret and its principal');

CREATE TRIGGER a_revoked_token_stays BEFORE UPDATE OF revoke_time, expire_time ON mpgate.tokens FOR EACH ROW
WHEN (OLD.revoke_time IS NOT NULL) EXECUTE FUNCTION mpgate.refuse('a revoked token stays revoked');

CREATE TRIGGER no_token_is_erased BEFORE DELETE OR TRUNCATE ON mpgate.tokens
EXECUTE FUNCTION mpgate.refuse('tokens are revoked, not erased');

CREATE TRIGGER a_stream_takes_the_head BEFORE INSERT OR UPDATE ON mpgate.streams FOR EACH ROW
EXECUTE FUNCTION mpgate.takes_the_head();

CREATE TRIGGER a_key_takes_the_head BEFORE INSERT OR UPDATE ON mpgate.api_keys FOR EACH ROW
EXECUTE FUNCTION mpgate.takes_the_head();

CREATE TRIGGER a_revoked_key_stays BEFORE UPDATE ON mpgate.api_keys FOR EACH ROW
WHEN (OLD.state = 'revoked') EXECUTE FUNCTION mpgate.refuse('a revoked key stays as it is');

CREATE TRIGGER a_key_keeps_its_secret
BEFORE UPDATE OF key_id, digest, consumer_id, environment, origin, sender ON mpgate.api_keys
EXECUTE FUNCTION
mpgate.refuse('a key keeps its id, its secret, its sender, its consumer and its environment');

CREATE TRIGGER no_key_is_erased BEFORE DELETE OR TRUNCATE ON mpgate.api_keys
EXECUTE FUNCTION mpgate.refuse('keys are revoked, not erased');

CREATE TRIGGER no_stream_is_erased BEFORE DELETE OR TRUNCATE ON mpgate.streams
EXECUTE FUNCTION mpgate.refuse('streams are revoked, not erased');

CREATE TRIGGER a_new_key_counts AFTER INSERT ON mpgate.api_keys FOR EACH ROW
WHEN (NEW.state <> 'revoked') EXECUTE FUNCTION mpgate.counts_keys();

CREATE TRIGGER a_revoked_key_counts_no_more AFTER UPDATE OF state ON mpgate.api_keys FOR EACH ROW
WHEN (OLD.state <> 'revoked' AND NEW.state = 'revoked') EXECUTE FUNCTION mpgate.counts_keys();

CREATE TRIGGER a_revoked_key_has_no_grants AFTER UPDATE OF state ON mpgate.api_keys FOR EACH ROW
WHEN (NEW.state = 'revoked') EXECUTE FUNCTION mpgate.ends_grants();

CREATE TRIGGER a_granted_stream_stays BEFORE UPDATE OF state ON mpgate.streams FOR EACH ROW
WHEN (NEW.state = 'revoked') EXECUTE FUNCTION mpgate.granted_stream_stays();

CREATE TRIGGER only_active_streams_are_granted BEFORE INSERT ON mpgate.live_grants FOR EACH ROW
EXECUTE FUNCTION mpgate.only_active_streams();

CREATE TRIGGER a_consumer_in_use_stays BEFORE UPDATE OF delete_time ON mpgate.consumers FOR EACH ROW
WHEN (NEW.delete_time IS NOT NULL) EXECUTE FUNCTION mpgate.consumer_in_use_stays();

CREATE TRIGGER the_trail_is_only_appended_to BEFORE UPDATE OR DELETE OR TRUNCATE ON mpgate.audit_events
EXECUTE FUNCTION mpgate.refuse('the trail is only appended to');
