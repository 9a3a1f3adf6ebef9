-- The first schema. The tenant is the first column of every key but one: a token is looked up by its
-- own id, because it is what says which tenant is calling.

CREATE TABLE tenants (
    tenant        TEXT    NOT NULL PRIMARY KEY,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE environments (
    tenant        TEXT    NOT NULL REFERENCES tenants (tenant),
    environment   TEXT    NOT NULL,
    lookup        TEXT    NOT NULL,
    key_pepper    BLOB    NOT NULL CHECK (length(key_pepper) = 32),
    head          INTEGER NOT NULL,
    -- Begins at 1: a gateway that has no keys yet says 0.
    keys_epoch    INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    tenant        TEXT    NOT NULL REFERENCES tenants (tenant),
    token         TEXT    NOT NULL,
    secret_sha256 BLOB    NOT NULL CHECK (length(secret_sha256) = 32),
    rights        TEXT    NOT NULL,
    environment   TEXT,
    description   TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    revoked_at_ms INTEGER,
    PRIMARY KEY (tenant, token),
    FOREIGN KEY (tenant, environment) REFERENCES environments (tenant, environment)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX tokens_by_id ON tokens (token);

CREATE TABLE uploads (
    tenant          TEXT    NOT NULL REFERENCES tenants (tenant),
    upload          TEXT    NOT NULL,
    bundle          TEXT    NOT NULL,
    version         TEXT    NOT NULL,
    manifest        TEXT    NOT NULL,
    manifest_sha256 BLOB    NOT NULL CHECK (length(manifest_sha256) = 32),
    -- Kept for a while after it was published, so that a caller who lost the answer may ask again.
    published       INTEGER NOT NULL DEFAULT 0 CHECK (published IN (0, 1)),
    updated_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (tenant, upload)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX uploads_by_content ON uploads (tenant, bundle, version, manifest_sha256);

CREATE TABLE upload_files (
    tenant          TEXT    NOT NULL,
    upload          TEXT    NOT NULL,
    position        INTEGER NOT NULL,
    file            TEXT    NOT NULL,
    sha256          BLOB    NOT NULL CHECK (length(sha256) = 32),
    size_bytes      INTEGER NOT NULL,
    -- Durable bytes; equal to the size only once the digest has been verified.
    committed_bytes INTEGER NOT NULL CHECK (committed_bytes BETWEEN 0 AND size_bytes),
    -- The state of the hash after the committed bytes, so that any process can go on.
    hash_state      BLOB,
    -- Set when the tenant has these bytes already, under this key.
    stored_key      TEXT,
    PRIMARY KEY (tenant, upload, file),
    FOREIGN KEY (tenant, upload) REFERENCES uploads (tenant, upload) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
    tenant          TEXT    NOT NULL REFERENCES tenants (tenant),
    bundle          TEXT    NOT NULL,
    version         TEXT    NOT NULL,
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),
    document        TEXT    NOT NULL,
    published_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, bundle, version)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX releases_by_digest ON releases (tenant, digest);

-- Where the bytes of a digest lie: under the release that first brought them.
CREATE TABLE artifacts (
    tenant     TEXT    NOT NULL REFERENCES tenants (tenant),
    sha256     BLOB    NOT NULL CHECK (length(sha256) = 32),
    stored_key TEXT    NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (tenant, sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE definitions (
    tenant   TEXT NOT NULL REFERENCES tenants (tenant),
    digest   BLOB NOT NULL CHECK (length(digest) = 32),
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE revisions (
    tenant        TEXT    NOT NULL,
    environment   TEXT    NOT NULL,
    number        INTEGER NOT NULL,
    root          BLOB    NOT NULL CHECK (length(root) = 32),
    document      TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, number),
    FOREIGN KEY (tenant, environment) REFERENCES environments (tenant, environment)
) STRICT, WITHOUT ROWID;

-- A revoked key stays as a tombstone, so that gateways learn of it by difference.
CREATE TABLE keys (
    tenant        TEXT    NOT NULL,
    environment   TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    hmac          BLOB    NOT NULL CHECK (length(hmac) = 32),
    session       TEXT    NOT NULL,
    description   TEXT    NOT NULL,
    -- The environment's epoch after the last change of this key.
    epoch         INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    revoked_at_ms INTEGER,
    PRIMARY KEY (tenant, environment, key),
    FOREIGN KEY (tenant, environment) REFERENCES environments (tenant, environment)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX keys_by_epoch ON keys (tenant, environment, epoch);
CREATE UNIQUE INDEX keys_by_hmac ON keys (tenant, environment, hmac);

-- What gateways last said of themselves, as they sent it (gantry.v1 messages).
CREATE TABLE gateways (
    tenant          TEXT    NOT NULL,
    environment     TEXT    NOT NULL,
    gateway         TEXT    NOT NULL,
    -- New with every start of the process.
    instance_nonce  TEXT    NOT NULL,
    profile         BLOB    NOT NULL,
    report          BLOB    NOT NULL,
    last_seen_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, gateway),
    FOREIGN KEY (tenant, environment) REFERENCES environments (tenant, environment)
) STRICT, WITHOUT ROWID;

-- Who changed what. No foreign keys: what happened stays true whatever is deleted later.
CREATE TABLE audit (
    tenant TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    -- Empty when the operators' command line or the control plane itself did it.
    token  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    subject TEXT   NOT NULL,
    at_ms  INTEGER NOT NULL,
    PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;
