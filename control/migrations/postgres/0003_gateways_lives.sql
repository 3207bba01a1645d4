-- When a gateway was first heard: one that was started again since is told from one beside it. What is known already
-- was heard since nobody knows when. And when somebody said that it has ended.

ALTER TABLE mpgate.gateways ADD COLUMN first_seen_millis BIGINT NOT NULL DEFAULT 0;

ALTER TABLE mpgate.gateways ADD COLUMN forgotten_millis BIGINT NOT NULL DEFAULT 0;
