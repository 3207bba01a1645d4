-- When a gateway was last heard, to the millisecond: what it says twice in one second has an order, too.

ALTER TABLE gateways RENAME COLUMN last_seen_time TO last_seen_millis;

UPDATE gateways SET last_seen_millis = last_seen_millis * 1000;
