//! What rows refer to: found in the register or among the rows; and what refers to a bad row is bad itself.

use super::{
    index::{Flaw, Index, Over, Place, State},
    names::Id,
};
use crate::domain::document::Version;

impl Index {
    /// Of each number, one version is in force: of several rows none is taken, since nobody knows which is meant.
    pub(super) fn check_in_force(&mut self) {
        let mut flaws: Vec<(Place, Flaw)> = Vec::new();
        let in_force = |place: &Place| self.is_new(*place) && self.entry(*place).is_in_force;
        let same =
            |one: &Place, other: &Place| self.entry(*one).number == self.entry(*other).number;
        for rows in self.by_key().chunk_by(same) {
            let mut rows = rows.iter().copied().filter(in_force);
            let Some(first) = rows.next() else { continue };
            let registered = self.registered(self.entry(first).number);
            if let Some(known) = registered.iter().find(|known| known.is_in_force) {
                let flaw = Flaw::InForceAlready(known.version);
                flaws.extend(std::iter::once(first).chain(rows).map(|row| (row, flaw)));
                continue;
            }
            for (index, other) in rows.enumerate() {
                if index == 0 {
                    flaws.push((first, Flaw::AlsoInForce(other)));
                }
                flaws.push((other, Flaw::AlsoInForce(first)));
            }
        }
        for (place, flaw) in flaws {
            self.refuse(place, flaw);
        }
    }

    /// Finds what each row supersedes and depends on.
    pub(super) fn relate(&mut self) {
        for place in 0..self.entries.len() as Place {
            let entry = self.entry(place);
            if entry.state != State::New {
                continue;
            }
            match self.superseded(place) {
                Ok(over) => self.entries[place as usize].supersedes = over,
                Err(flaw) => {
                    self.refuse(place, flaw);
                    continue;
                }
            }
            let unknown =
                |number: &&Id| !self.is_registered(**number) && self.rows_of(**number).is_empty();
            if let Some(number) = self.depends_on(&entry).iter().find(unknown).copied() {
                self.refuse(place, Flaw::DependsOnUnknown(number));
            }
        }
    }

    fn superseded(&self, place: Place) -> Result<Over, Flaw> {
        let entry = self.entry(place);
        let below = Some(entry.version);
        match entry.supersedes {
            Over::NewestLower => Ok(self.newest(entry.number, below).unwrap_or(Over::Nothing)),
            Over::Newest(number) if number == entry.number => {
                let newest = self.newest(number, below);
                newest.ok_or(Flaw::SupersedesNoLower)
            }
            Over::Newest(number) => self.newest(number, None).ok_or(Flaw::SupersedesUnknown),
            Over::Version(number, version) => {
                if number == entry.number && entry.version <= version {
                    return Err(Flaw::SupersedesNoLower);
                }
                self.version(number, version).ok_or(Flaw::SupersedesUnknown)
            }
            found @ (Over::Nothing | Over::Registered(..) | Over::Row(_)) => Ok(found),
        }
    }

    /// The newest version of a number, or the newest below one; in the register or among the rows.
    fn newest(&self, number: Id, below: Option<Version>) -> Option<Over> {
        let is_below = |version: Version| below.is_none_or(|below| version < below);
        let known = self.registered(number);
        let count = known.partition_point(|known| is_below(known.version));
        let known = known[..count].last().map(|known| known.version);
        let rows = self.rows_of(number);
        let count = rows.partition_point(|place| is_below(self.entry(*place).version));
        let row = rows[..count].last().map(|place| self.entry(*place).version);
        self.version(number, known.max(row)?)
    }

    /// A version of a number, in the register or else among the rows.
    fn version(&self, number: Id, version: Version) -> Option<Over> {
        if self.has_registered(number, version) {
            return Some(Over::Registered(number, version));
        }
        let rows = self.rows_of(number);
        let from = rows.partition_point(|place| self.entry(*place).version < version);
        let first = rows.get(from).copied()?;
        (self.entry(first).version == version).then_some(Over::Row(first))
    }

    /// Whatever refers to a row that is not kept is not kept either. Takes as long as there are references,
    /// however long their chains are.
    pub(super) fn spread(&mut self) {
        let mut superseded_by: Vec<(Place, Place)> = Vec::new();
        let mut dependants: Vec<(Id, Place)> = Vec::new();
        for (place, entry) in self.new_rows() {
            if let Over::Row(target) = entry.supersedes {
                superseded_by.push((target, place));
            }
            let others = self.depends_on(&entry).iter();
            let others = others.filter(|number| !self.is_registered(**number));
            dependants.extend(others.map(|number| (*number, place)));
        }
        superseded_by.sort_unstable();
        dependants.sort_unstable();
        // How many rows stand for a number, and which rows are still to be looked at: all that are not kept.
        let mut standing = vec![0_u32; self.names.len()];
        let mut gone: Vec<Place> = Vec::new();
        for (place, entry) in (0..).zip(&self.entries) {
            match entry.state {
                State::New | State::Kept => standing[entry.number as usize] += 1,
                State::Told | State::Bad(_) => gone.push(place),
            }
        }
        let mut without: Vec<Id> = (0..).take(standing.len()).collect();
        without.retain(|number| standing[*number as usize] == 0);
        loop {
            for number in std::mem::take(&mut without) {
                for (_, place) in those(&dependants, number) {
                    if self.refuse(*place, Flaw::DependsOnBad(number)) {
                        self.fell(*place, &mut standing, &mut without, &mut gone);
                    }
                }
            }
            let Some(target) = gone.pop() else { return };
            for (_, place) in those(&superseded_by, target) {
                if self.refuse(*place, Flaw::SupersedesBad(target)) {
                    self.fell(*place, &mut standing, &mut without, &mut gone);
                }
            }
        }
    }

    /// A row that stood for its number does so no more.
    fn fell(
        &self,
        place: Place,
        standing: &mut [u32],
        without: &mut Vec<Id>,
        gone: &mut Vec<Place>,
    ) {
        let number = self.entry(place).number;
        let left = &mut standing[number as usize];
        *left -= 1;
        if *left == 0 {
            without.push(number);
        }
        gone.push(place);
    }
}

/// Of sorted pairs, those that begin so.
fn those(pairs: &[(u32, u32)], first: u32) -> &[(u32, u32)] {
    let from = pairs.partition_point(|pair| pair.0 < first);
    let count = pairs[from..].partition_point(|pair| pair.0 == first);
    &pairs[from..from + count]
}
