//! What others have come to depend on while an import was under way: its rows were related to what there was before.

use std::collections::BTreeMap;

use super::{course::Course, index::Place, tell::BadRow};
use crate::{
    domain::document::{Number, row::Row},
    error::{Error, Result},
    records::depends::{circle, told},
    store::Tx,
};

impl Course {
    /// Waits for the turn to depend where rows do, and takes those out that would close a circle with what others have
    /// written since it was looked at.
    pub(super) async fn without_circles(
        &mut self,
        tx: &mut Tx,
        rows: Vec<(Place, Row)>,
    ) -> Result<(Vec<(Place, Row)>, Vec<BadRow>)> {
        let depends = |row: &Row| !row.status.is_final() && !row.depends_on.is_empty();
        if !rows.iter().any(|(_, row)| depends(row)) {
            return Ok((rows, Vec::new()));
        }
        tx.turn_to_depend().await?;
        let as_before = self.dependences == tx.dependences_mark().await?;
        // Another import may be under way, on another server.
        let mark = tx.mark_dependences().await?;
        if as_before {
            self.dependences = Some(mark);
            return Ok((rows, Vec::new()));
        }
        let mut kept = Vec::with_capacity(rows.len());
        let mut bad = Vec::new();
        let mut beside: BTreeMap<Number, Vec<Number>> = BTreeMap::new();
        for (_, row) in rows.iter().filter(|(_, row)| depends(row)) {
            let on = beside.entry(row.key.number.clone()).or_default();
            on.extend(row.depends_on.iter().cloned());
        }
        for (place, row) in rows {
            let from = match depends(&row) {
                true => circle(tx, &row.key.number, &row.depends_on, &beside).await?,
                false => None,
            };
            let Some(from) = from else {
                kept.push((place, row));
                continue;
            };
            if let Some(on) = beside.get_mut(&row.key.number) {
                on.retain(|number| !row.depends_on.contains(number));
            }
            let error = Error::invalid("depends_on", told(&from, &row.key.number));
            bad.push(self.told(place, &row, error)?);
        }
        Ok((kept, bad))
    }
}
