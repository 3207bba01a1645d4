-- A request that found everything as it was to be is remembered, too: with what it was shown, as the trail has nothing of it.

ALTER TABLE mpgate.requests
    ADD COLUMN found_json TEXT COLLATE "C" CHECK (json_typeof(found_json::json) = 'object');
