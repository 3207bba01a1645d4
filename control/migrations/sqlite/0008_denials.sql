-- Attempts that were denied are in the trail, too: with what was asked for, and how many of them an event stands for.

ALTER TABLE audit_events ADD COLUMN denied_method TEXT CHECK (length(denied_method) BETWEEN 1 AND 200);

ALTER TABLE audit_events ADD COLUMN denied_count INTEGER CHECK (denied_count > 0);
