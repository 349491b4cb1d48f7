"""The tables. An object's `age` counts down, so that (key, age) is S3's own order: newest version first."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS s3_buckets (
    name TEXT PRIMARY KEY, created REAL NOT NULL, region TEXT NOT NULL, versioning TEXT NOT NULL DEFAULT '',
    event_bridge INTEGER NOT NULL DEFAULT 0, cors TEXT NOT NULL DEFAULT '[]', lifecycle TEXT NOT NULL DEFAULT '[]',
    template TEXT
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS s3_sequence (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL);
INSERT OR IGNORE INTO s3_sequence VALUES (1, 0);

CREATE TABLE IF NOT EXISTS s3_versions (
    age INTEGER PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL,
    latest INTEGER NOT NULL DEFAULT 0, marker INTEGER NOT NULL, file TEXT, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified REAL NOT NULL, headers TEXT NOT NULL, metadata TEXT NOT NULL, tags TEXT NOT NULL, checksum TEXT,
    parts TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS s3_version ON s3_versions (bucket, key, version);
CREATE INDEX IF NOT EXISTS s3_history ON s3_versions (bucket, key, age);
CREATE UNIQUE INDEX IF NOT EXISTS s3_latest ON s3_versions (bucket, key) WHERE latest = 1;
CREATE INDEX IF NOT EXISTS s3_current ON s3_versions (bucket, key, age) WHERE latest = 1 AND marker = 0;
CREATE INDEX IF NOT EXISTS s3_file ON s3_versions (file) WHERE file IS NOT NULL;

CREATE TABLE IF NOT EXISTS s3_uploads (
    id TEXT PRIMARY KEY, age INTEGER NOT NULL, bucket TEXT NOT NULL, key TEXT NOT NULL, initiated REAL NOT NULL,
    headers TEXT NOT NULL, metadata TEXT NOT NULL, tags TEXT NOT NULL, algorithm TEXT, checksum_type TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS s3_upload ON s3_uploads (bucket, key, id);

CREATE TABLE IF NOT EXISTS s3_parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified REAL NOT NULL, checksum TEXT, PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS s3_part_file ON s3_parts (file);
"""
