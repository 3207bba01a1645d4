-- For the metrics: whose tokens end next.

CREATE INDEX tokens_by_end ON mpgate.tokens (expire_time) WHERE revoke_time IS NULL AND expire_time IS NOT NULL;
