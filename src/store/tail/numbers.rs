//! Who holds numbers of the log: transactions that have drawn some, and are not over (PostgreSQL).
//!
//! Whoever writes an event takes one lock, shared, before its first number is drawn, and holds it until its
//! transaction is over. A trigger of the table does that: so it costs no round trip, and holds for whoever
//! writes, servers of an older version in the same cluster included. A lock is given back after what was
//! committed can be seen. So of a number that is missing beside one that is there:
//!
//! 1. Who has drawn it holds the lock, or is over. Who holds it is noted by their virtual transactions.
//! 2. Once none of those holds it any more, they are over.
//! 3. What is read then, and not before, holds what they have committed; what it lacks was never used.
//!
//! Others that write on the same server, in another database or in tables of their own, do not take the lock,
//! and are not waited for. Nobody ever asks for it exclusively: who waits for that keeps all writers waiting.

use sea_orm::{DbBackend, FromQueryResult};

use crate::{
    error::{Error, Result},
    store::Store,
};

/// Any number will do, as long as every server takes the same: the trigger's, which stays as it is.
const LOCK: i64 = 0x5761_7463_686e_756d;
/// Function and trigger.
const NAME: &str = "events_hold_numbers";

/// Makes the trigger. It fires before its statement begins, and so before a number is drawn. Whoever reads, such as a
/// dump that takes long, is not waited for.
pub(in crate::store) const HOLD_NUMBERS: &[&str] = &[
    "CREATE OR REPLACE FUNCTION events_hold_numbers() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     PERFORM pg_catalog.pg_advisory_xact_lock_shared(6296441724343317869); RETURN NULL; END $$",
    "CREATE OR REPLACE TRIGGER events_hold_numbers BEFORE INSERT ON events FOR EACH STATEMENT \
     EXECUTE FUNCTION events_hold_numbers()",
];

/// A transaction that holds numbers.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub(super) struct Holder {
    /// Its virtual id: never given to another while the server runs.
    transaction: String,
    /// The process of the server that has it open.
    pub(super) process: Option<i32>,
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

impl Store {
    /// Who holds numbers now.
    pub(super) async fn number_holders(&self) -> Result<Vec<Holder>> {
        if self.inner.backend != DbBackend::Postgres {
            return Ok(Vec::new());
        }
        let holders = self
            .sql(
                "SELECT virtualtransaction AS transaction, pid AS process FROM pg_locks \
                 WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                 AND classid::bigint = ",
            )
            .bind(LOCK >> 32)
            .push(" AND objid::bigint = ")
            .bind(LOCK & 0xffff_ffff)
            .done();
        self.all(holders).await
    }

    /// Keeps of these who still hold numbers.
    pub(super) async fn still_hold(&self, holders: &mut Vec<Holder>) -> Result<()> {
        if !holders.is_empty() {
            let now = self.number_holders().await?;
            holders.retain(|holder| now.contains(holder));
        }
        Ok(())
    }

    /// Sees that whoever writes events holds their numbers: else nothing could be told of a gap.
    pub(super) async fn numbers_are_held(&self) -> Result<()> {
        if self.inner.backend != DbBackend::Postgres {
            return Ok(());
        }
        let fires = self
            .sql(
                "SELECT count(*) AS count FROM pg_trigger WHERE tgrelid = 'events'::regclass \
                 AND tgenabled IN ('O', 'A') AND tgname = ",
            )
            .bind(NAME)
            .done();
        let fires: Option<Count> = self.one(fires).await?;
        if fires.is_some_and(|fires| fires.count == 1) {
            return Ok(());
        }
        Err(Error::internal(format!(
            "the table events has no trigger {NAME}, or it does not fire: without it watches could miss what \
             happens, so that none begins; stop all servers and restore the database whole, its triggers included"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trigger_takes_the_lock_that_is_looked_for() {
        let takes = |step: &&&str| step.contains(&format!("lock_shared({LOCK})"));
        assert_eq!(HOLD_NUMBERS.iter().filter(takes).count(), 1);
        let named = HOLD_NUMBERS.iter().filter(|step| step.contains(NAME));
        assert_eq!(named.count(), HOLD_NUMBERS.len());
    }
}
