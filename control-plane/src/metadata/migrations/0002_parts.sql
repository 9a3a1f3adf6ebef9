-- What an object store with parts must be told to go on behind the committed bytes: upload id, entity
-- tags and checksums, as JSON. Unset where the store needs nothing.
ALTER TABLE upload_files ADD COLUMN parts TEXT;
