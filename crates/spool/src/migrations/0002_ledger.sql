-- The ledger: so much of a budget was spent. `at` is in milliseconds since 1970, UTC, rounded up: what counts in a rolling
-- window stays in it a moment too long rather than too short. What was spent in one tick is added up; of what is older than
-- an hour, all that falls into one second, at the latest instant among it.
CREATE TABLE spent (
    budget TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (budget, at)
) STRICT, WITHOUT ROWID;

-- Small things that the queue manager wants to know after a restart.
CREATE TABLE remembered (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Entries of attempts.journal are numbered. Those that speak of a message and have a number below this are done with.
ALTER TABLE message ADD COLUMN journal INTEGER NOT NULL DEFAULT 0;

-- No entry has had this number or a higher one. Every start takes four thousand million of them.
ALTER TABLE mark ADD COLUMN journal INTEGER NOT NULL DEFAULT 1;
