//! Numbers that differ in case alone are one: spelt as the register spells them, or as the first row does.

use super::names::{Id, Names};
use crate::{
    domain::document::{Number, row::Row},
    error::Result,
};

impl Names {
    /// Takes note of a spelling of the register.
    pub(super) fn spelt(&mut self, spelling: &str, is_twin: bool) {
        let id = self.id(spelling);
        self.registered.insert(id, is_twin);
    }

    /// Finds which numbers are one. Says whether any are that are not spelt alike.
    pub(super) fn unite(&mut self) -> bool {
        let all = 0..Id::try_from(self.len()).unwrap_or(Id::MAX);
        // For each number, the first that is the same; and for each of those the spelling that is meant by others.
        let mut first: Vec<Id> = Vec::with_capacity(self.len());
        let mut meant: Vec<Id> = all.clone().collect();
        let mut differ = false;
        for id in all.clone() {
            let before = self.alike_before(id);
            let leader = before
                .and_then(|before| first.get(before as usize).copied())
                .unwrap_or(id);
            first.push(leader);
            differ |= leader != id;
            // The register's own goes before a twin of it, and that before what only rows say.
            if let Some(place) = meant.get_mut(leader as usize)
                && self.rank(id) < self.rank(*place)
            {
                *place = id;
            }
        }
        if differ {
            let one = all.zip(first).map(|(id, leader)| {
                if self.registered.contains_key(&id) {
                    return id;
                }
                meant.get(leader as usize).copied().unwrap_or(id)
            });
            self.one = one.collect();
        }
        differ
    }

    /// The number that this one is.
    pub(super) fn one(&self, id: Id) -> Id {
        self.one.get(id as usize).copied().unwrap_or(id)
    }

    /// Gives a row's numbers the spelling that they are kept in.
    pub(super) fn respell(&self, row: &mut Row) -> Result<()> {
        if self.one.is_empty() {
            return Ok(());
        }
        let named = row.supersedes.iter_mut().map(|named| &mut named.number);
        let numbers = std::iter::once(&mut row.key.number)
            .chain(named)
            .chain(&mut row.depends_on);
        for number in numbers {
            self.respell_number(number)?;
        }
        Ok(())
    }

    fn respell_number(&self, number: &mut Number) -> Result<()> {
        if let Some(id) = self.find(number.as_str())
            && self.one(id) != id
        {
            *number = self.get(self.one(id)).parse()?;
        }
        Ok(())
    }

    fn rank(&self, id: Id) -> u8 {
        match self.registered.get(&id) {
            Some(false) => 0,
            Some(true) => 1,
            None => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str], registered: &[(&str, bool)]) -> Vec<String> {
        let mut all = Names::default();
        let ids: Vec<Id> = names.iter().map(|name| all.id(name)).collect();
        for (spelling, is_twin) in registered {
            all.spelt(spelling, *is_twin);
        }
        all.unite();
        let one = ids.into_iter().map(|id| all.get(all.one(id)).to_owned());
        one.collect()
    }

    #[test]
    fn the_first_spelling_is_kept_where_the_register_has_none() {
        assert_eq!(
            named(&["b-1", "C", "B-1", "b-1"], &[]),
            ["b-1", "C", "b-1", "b-1"]
        );
        assert_eq!(named(&["aB", "Ab", "AB"], &[]), ["aB", "aB", "aB"]);
    }

    #[test]
    fn the_registers_spelling_is_kept_where_it_has_one() {
        assert_eq!(named(&["b-1", "B-1"], &[("B-1", false)]), ["B-1", "B-1"]);
        assert_eq!(named(&["b-1", "C"], &[("B-1", false)]), ["B-1", "C"]);
    }

    #[test]
    fn twins_stay_what_they_are_and_others_are_the_first_of_them() {
        let twins = [("ab", true), ("AB", false)];
        assert_eq!(named(&["ab", "Ab", "AB"], &twins), ["ab", "AB", "AB"]);
    }
}
