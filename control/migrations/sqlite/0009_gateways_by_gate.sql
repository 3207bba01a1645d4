-- Each gate of an Envoy has a list of its own, and so a receipt of its own. What is known already stays: an Envoy's
-- row is that of the gate that asked last, and its others come when they ask.

CREATE TABLE new_gateways (
    principal_id      TEXT    NOT NULL,
    instance          TEXT    NOT NULL,
    gate              TEXT    NOT NULL,
    node              TEXT    NOT NULL,
    version           TEXT    NOT NULL,
    capabilities      TEXT    NOT NULL CHECK (json_valid(capabilities)),
    environment       TEXT,
    consumers         TEXT    NOT NULL CHECK (json_valid(consumers)),
    revision          INTEGER NOT NULL,
    last_seen_millis  INTEGER NOT NULL,
    first_seen_millis INTEGER NOT NULL DEFAULT 0,
    forgotten_millis  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (principal_id, instance, gate)
) STRICT, WITHOUT ROWID;

INSERT INTO new_gateways SELECT * FROM gateways;

DROP TABLE gateways;

ALTER TABLE new_gateways RENAME TO gateways;
