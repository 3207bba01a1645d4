-- When a gateway was first heard: one that was started again since is told from one beside it. What is known already
-- was heard since nobody knows when. And when somebody said that it has ended.

ALTER TABLE gateways ADD COLUMN first_seen_millis INTEGER NOT NULL DEFAULT 0;

ALTER TABLE gateways ADD COLUMN forgotten_millis INTEGER NOT NULL DEFAULT 0;
