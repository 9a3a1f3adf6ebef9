-- Versions that must not be deployed anew. Follows the tombstones in object storage.
CREATE TABLE yanks (
    tenant       TEXT    NOT NULL,
    bundle       TEXT    NOT NULL,
    version      TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    yanked_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, bundle, version),
    FOREIGN KEY (tenant, bundle, version) REFERENCES releases (tenant, bundle, version)
) STRICT, WITHOUT ROWID;
