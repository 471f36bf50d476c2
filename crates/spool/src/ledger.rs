//! The ledger and what is remembered: every statement that writes them.
//!
//! Budgets are few, what is spent of them is much: everything here goes budget by budget, along the primary key.

use rusqlite::params;

use crate::tables::{Tables, Trouble};

/// A tick of what is old, in milliseconds.
const SECOND: i64 = 1000;
/// Rows looked at in one step.
const ROWS: usize = 1000;

/// Where a sweep of the ledger stands: it deletes what is old and adds up what is no longer young.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sweep {
    /// What was spent before this is forgotten. Milliseconds, as the others.
    pub(crate) before: i64,
    /// Added up by the second: from here …
    pub(crate) from: i64,
    /// … to here.
    pub(crate) to: i64,
    /// The next budget, or the first after this.
    pub(crate) budget: String,
    /// What was spent of it until then has been looked at.
    pub(crate) at: i64,
}

impl Sweep {
    /// Of the whole ledger. A second that `to` cuts in two is left for the next time.
    pub(crate) fn new(before: i64, from: i64, to: i64) -> Self {
        Self { before, from, to: to.div_euclid(SECOND) * SECOND, budget: String::new(), at: from }
    }
}

impl Tables {
    /// Adds to what was spent in that tick.
    pub(crate) fn spend(&self, budget: &str, at: i64, amount: i64) -> Result<(), Trouble> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO spent (budget, at, amount) VALUES (?1, ?2, ?3) \
             ON CONFLICT (budget, at) DO UPDATE SET amount = amount + excluded.amount",
        )?;
        statement.execute(params![budget, at, amount])?;
        Ok(())
    }

    /// The same from an older database; false if there is something in that tick.
    pub(crate) fn keep_spent(&self, budget: &str, at: i64, amount: i64) -> rusqlite::Result<bool> {
        let sql = "INSERT INTO spent (budget, at, amount) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        Ok(self.connection.prepare_cached(sql)?.execute(params![budget, at, amount])? == 1)
    }

    /// The same from an older database; false if something is remembered under that key.
    pub(crate) fn keep_remembered(&self, key: &str, value: &str) -> rusqlite::Result<bool> {
        let sql = "INSERT INTO remembered (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        Ok(self.connection.prepare_cached(sql)?.execute([key, value])? == 1)
    }

    pub(crate) fn remember(&self, key: &str, value: Option<&str>) -> Result<(), Trouble> {
        match value {
            Some(value) => self
                .connection
                .prepare_cached(
                    "INSERT INTO remembered (key, value) VALUES (?1, ?2) \
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                )?
                .execute([key, value])?,
            None => self.connection.prepare_cached("DELETE FROM remembered WHERE key = ?1")?.execute([key])?,
        };
        Ok(())
    }

    /// One step of a sweep; where the next one begins, if there is more to do.
    pub(crate) fn sweep(&self, sweep: &Sweep) -> Result<Option<Sweep>, Trouble> {
        let mut statement = self.connection.prepare_cached("SELECT min(budget) FROM spent WHERE budget >= ?1")?;
        let Some(budget) = statement.query_row([&sweep.budget], |row| row.get::<_, Option<String>>(0))? else {
            return Ok(None);
        };
        let at = if budget == sweep.budget { sweep.at } else { sweep.from };
        if self.forget_spent(&budget, sweep.before)? {
            return Ok(Some(Sweep { budget, at, ..sweep.clone() }));
        }
        Ok(Some(match self.add_up(&budget, at, sweep.to)? {
            Some(at) => Sweep { budget, at, ..sweep.clone() },
            // The least that is greater than this name.
            None => Sweep { budget: budget + "\0", at: sweep.from, ..sweep.clone() },
        }))
    }

    /// True if there may be more.
    fn forget_spent(&self, budget: &str, before: i64) -> Result<bool, Trouble> {
        let mut statement = self.connection.prepare_cached(
            "DELETE FROM spent WHERE budget = ?1 AND at IN \
             (SELECT at FROM spent WHERE budget = ?1 AND at < ?2 ORDER BY at LIMIT ?3)",
        )?;
        Ok(statement.execute(params![budget, before, ROWS as i64])? == ROWS)
    }

    /// Of rows that fall into one second the latest remains. Gives where to go on; `None` at the end.
    fn add_up(&self, budget: &str, from: i64, to: i64) -> Result<Option<i64>, Trouble> {
        let mut statement = self.connection.prepare_cached(
            "SELECT at, amount FROM spent WHERE budget = ?1 AND at >= ?2 AND at < ?3 ORDER BY at LIMIT ?4",
        )?;
        let rows = statement.query_map(params![budget, from, to, ROWS as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(i64, i64)> = rows.collect::<Result<_, _>>()?;
        let mut carried = 0;
        for pair in rows.windows(2) {
            let [(at, amount), (next, _)] = pair else { continue };
            if at.div_euclid(SECOND) == next.div_euclid(SECOND) {
                carried += amount;
                self.connection
                    .prepare_cached("DELETE FROM spent WHERE budget = ?1 AND at = ?2")?
                    .execute(params![budget, at])?;
            } else if carried > 0 {
                self.spend(budget, *at, std::mem::take(&mut carried))?;
            }
        }
        let Some((last, _)) = rows.last() else { return Ok(None) };
        if carried > 0 {
            self.spend(budget, *last, carried)?;
        }
        // The last second of these may go on in the next.
        Ok((rows.len() == ROWS).then_some(*last))
    }
}
