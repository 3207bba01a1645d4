-- A request that found everything as it was to be is remembered, too: with what it was shown, as the trail has nothing of it.

ALTER TABLE requests ADD COLUMN found_json TEXT CHECK (json_valid(found_json));
