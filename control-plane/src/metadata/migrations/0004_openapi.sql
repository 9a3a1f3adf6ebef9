-- OpenAPI documents that API definitions name by their digests.
CREATE TABLE openapi (
    tenant   TEXT NOT NULL REFERENCES tenants (tenant),
    digest   BLOB NOT NULL CHECK (length(digest) = 32),
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT;
