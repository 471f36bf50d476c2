-- One row a queued message. Instants are nanoseconds since 1970, UTC; `id` is the number that is written in 13 characters
-- in the document.
CREATE TABLE message (
    id          INTEGER PRIMARY KEY,
    lane        TEXT    NOT NULL,
    class       TEXT    NOT NULL,           -- urgent, new, deferred
    due         INTEGER NOT NULL,
    held        INTEGER NOT NULL,
    queued      INTEGER NOT NULL,           -- recipients by state
    handed_over INTEGER NOT NULL,
    bounced     INTEGER NOT NULL,
    expired     INTEGER NOT NULL,
    removed     INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    segment     INTEGER NOT NULL,           -- its record: seg/<segment>.seg from `offset`, `octets` long
    offset      INTEGER NOT NULL,
    octets      INTEGER NOT NULL,
    body_at     INTEGER NOT NULL,           -- offset of the body in the same file, unless `big`
    size        INTEGER NOT NULL,           -- octets of the body
    checksum    INTEGER NOT NULL,           -- CRC-32 of the body
    big         INTEGER NOT NULL,           -- 1: the body is big/<id>
    document    TEXT    NOT NULL            -- everything that is known of it, as JSON
) STRICT;
CREATE INDEX message_due ON message (lane, class, due) WHERE held = 0;
CREATE INDEX message_held ON message (lane) WHERE held = 1;
CREATE INDEX message_segment ON message (segment);
CREATE INDEX message_count ON message (accepted_at, queued, held);

-- What became of settled messages.
CREATE TABLE history (
    id         INTEGER PRIMARY KEY,
    settled_at INTEGER NOT NULL,
    document   TEXT    NOT NULL
) STRICT;
CREATE INDEX history_settled ON history (settled_at);

-- A file in seg/. It is deleted when nothing in it lives and the mark has passed it.
CREATE TABLE segment (
    id          INTEGER PRIMARY KEY,
    live        INTEGER NOT NULL,           -- records that a row of `message` points to
    live_octets INTEGER NOT NULL,
    octets      INTEGER NOT NULL,
    valid_to    INTEGER                     -- set after a failed write: nothing from here on was ever acknowledged
) STRICT;

-- Recipients since the spool was made: accepted = queued + the others, always.
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value)
VALUES ('accepted', 0), ('handed_over', 0), ('bounced', 0), ('expired', 0), ('removed', 0);

-- Every record before this place has its row, or is settled. A start reads what lies after it.
CREATE TABLE mark (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    segment INTEGER NOT NULL,
    offset  INTEGER NOT NULL,
    clean   INTEGER NOT NULL,               -- 1: closed in good order
    turn    INTEGER NOT NULL                -- 0 and 1 by turns, so that every write of this row is one
) STRICT;
INSERT INTO mark (one, segment, offset, clean, turn) VALUES (1, 0, 0, 1, 0);

-- For reading by hand: sqlite3 -header spool.db 'SELECT * FROM queue LIMIT 20'
CREATE VIEW queue AS
SELECT json_extract(document, '$.id')           AS message,
       lane,
       class,
       datetime(accepted_at / 1000000000, 'unixepoch') AS accepted,
       datetime(due / 1000000000, 'unixepoch')  AS due,
       held,
       json_extract(document, '$.reverse_path') AS reverse_path,
       queued                                   AS recipients_queued,
       size
FROM message;
