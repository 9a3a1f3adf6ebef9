-- When a document was last put, named by a definition that was put, or found to be named by one that an
-- environment has. Those that are here now count as used now.
ALTER TABLE openapi ADD COLUMN used_at_ms INTEGER NOT NULL DEFAULT 0;
UPDATE openapi SET used_at_ms = unixepoch() * 1000;
-- Tombstones up to this epoch may be gone: a gateway that is behind it gets its keys anew.
ALTER TABLE environments ADD COLUMN keys_pruned INTEGER NOT NULL DEFAULT 0;
