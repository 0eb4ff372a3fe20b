//! How late leases are renewed, as the table of runs shows: of those renewals alone that were due while somebody looked.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};

const BETWEEN_LOOKS: Duration = Duration::from_millis(25);
const MICROS: i64 = 1_000_000;

/// The leases of what runs, as of the last look.
#[derive(Debug)]
pub(super) struct Leases {
    /// Microseconds for which one is given; it is to be renewed at each third of that.
    lasts: i64,
    /// When each attempt's ends.
    ends: HashMap<String, i64>,
    /// Microseconds of the renewal that came latest after it was due; none where none was due so far.
    latest: Option<i64>,
}

impl Leases {
    /// Leases of so many seconds.
    pub(super) fn of(seconds: i64) -> Self {
        Self {
            lasts: seconds * MICROS,
            ends: HashMap::new(),
            latest: None,
        }
    }

    /// Milliseconds from when a renewal was due until it had come, at the most; none where none was due.
    pub(super) fn latest_ms(&self) -> Option<f64> {
        self.latest.map(|micros| micros as f64 / 1000.0)
    }

    /// Looks again and again, until it is dropped.
    pub(super) async fn watch(
        &mut self,
        database: &DatabaseConnection,
    ) -> anyhow::Result<Infallible> {
        let id = match database.get_database_backend() {
            DbBackend::Sqlite => "hex(id)",
            _ => "id::text",
        };
        let select = format!(
            "SELECT {id} || ' ' || attempt AS attempt, lease_until FROM runs \
             WHERE state = 'running' AND lease_until IS NOT NULL"
        );
        loop {
            let statement =
                Statement::from_string(database.get_database_backend(), select.as_str());
            let rows = database.query_all_raw(statement).await?;
            let now = Timestamp::now().as_microsecond();
            let mut ends: HashMap<String, i64> = HashMap::with_capacity(rows.len());
            for row in rows {
                ends.insert(row.try_get("", "attempt")?, row.try_get("", "lease_until")?);
            }
            self.look(now, ends);
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Compares what runs at an instant, in microseconds, with what ran at the look before.
    fn look(&mut self, now: i64, ends: HashMap<String, i64>) {
        for (attempt, end) in &ends {
            let before = self.ends.get(attempt).copied().unwrap_or(*end);
            let due = before - self.lasts / 3 * 2;
            // One that is renewed before it has to be says nothing of how late others would be.
            if now < due {
                continue;
            }
            let renewed = match before < *end {
                true => end - self.lasts,
                false => now,
            };
            self.latest = self.latest.max(Some((renewed - due).max(0)));
        }
        self.ends = ends;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at one attempt, at such a second, whose lease ends at such a second.
    fn look(leases: &mut Leases, now: f64, end: f64) {
        let micros = |seconds: f64| (seconds * MICROS as f64) as i64;
        let ends = HashMap::from([("one 1".to_owned(), micros(end))]);
        leases.look(micros(now), ends);
    }

    #[test]
    fn what_ends_before_a_renewal_is_due_says_nothing() {
        let mut leases = Leases::of(3);
        look(&mut leases, 10.1, 13.0);
        look(&mut leases, 10.9, 13.0);
        leases.look(11_500_000, HashMap::new());
        assert_eq!(leases.latest_ms(), None);
        // Nor does one that came before it was due.
        look(&mut leases, 20.1, 23.0);
        look(&mut leases, 20.8, 23.7);
        assert_eq!(leases.latest_ms(), None);
    }

    #[test]
    fn what_is_due_is_late_until_it_is_renewed() {
        let mut leases = Leases::of(3);
        look(&mut leases, 10.1, 13.0);
        // In time, as the lease itself tells.
        look(&mut leases, 11.02, 14.0);
        assert_eq!(leases.latest_ms(), Some(0.0));
        look(&mut leases, 12.25, 14.0);
        assert_eq!(leases.latest_ms(), Some(250.0));
        look(&mut leases, 12.52, 15.5);
        assert_eq!(leases.latest_ms(), Some(500.0));
        // The next is due a second after that one.
        look(&mut leases, 13.6, 15.5);
        assert_eq!(leases.latest_ms(), Some(500.0));
    }
}
