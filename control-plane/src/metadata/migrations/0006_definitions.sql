-- When a definition was last put, or found to be one that an environment has. Those that are here now count
-- as used now.
ALTER TABLE definitions ADD COLUMN used_at_ms INTEGER NOT NULL DEFAULT 0;
UPDATE definitions SET used_at_ms = unixepoch() * 1000;
