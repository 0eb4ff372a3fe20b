//! Findings of a check, which may be very many where very much is lost: told by and by, counted, and put together again.

use std::{collections::BTreeSet, io};

use super::{
    super::error::other,
    lines::in_lines,
    wire::{Found, Said},
};
use crate::{
    backup::repository::{Checked, Lacking, Result},
    domain::backup::{manifest::FileError, verdict::Names},
};

/// Characters of what is damaged: the library names files by all of their paths.
const DAMAGE_CHARS: usize = 600;

/// Tells what was found; what is to come in the answer.
///
/// # Errors
/// The first of `say`.
pub(super) fn tell(
    mut checked: Checked,
    say: &mut dyn FnMut(&Said) -> io::Result<()>,
) -> io::Result<Found> {
    let damage = std::mem::take(&mut checked.damage);
    let spoiled = std::mem::take(&mut checked.spoiled);
    let lacking = std::mem::take(&mut checked.lacking);
    let found = Found {
        damage: damage.len() as u64,
        spoiled: spoiled.len() as u64,
        lacking: lacking.len() as u64,
        named: lacking.iter().map(named).sum(),
        rest: checked,
    };
    let damage = damage.into_iter().map(cut);
    in_lines(damage, |some| say(&Said::Damage(some)))?;
    in_lines(spoiled, |some| say(&Said::Spoiled(some)))?;
    for mut lacking in lacking {
        let bare = Names::new(Vec::new(), lacking.names.more());
        let names = std::mem::replace(&mut lacking.names, bare);
        say(&Said::Lacking(lacking))?;
        let names = names.named().iter().cloned();
        in_lines(names, |some| say(&Said::Names(some)))?;
    }
    Ok(found)
}

fn named(lacking: &Lacking) -> u64 {
    lacking.names.named().len() as u64
}

fn cut(text: String) -> String {
    match text.char_indices().nth(DAMAGE_CHARS) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// What was told of it so far.
#[derive(Default)]
pub(super) struct Findings {
    damage: Vec<String>,
    spoiled: BTreeSet<u32>,
    /// With names of each.
    lacking: Vec<(Lacking, Vec<FileError>)>,
}

impl Findings {
    pub(super) fn take(&mut self, said: Said) {
        match said {
            Said::Damage(some) => self.damage.extend(some),
            Said::Spoiled(some) => self.spoiled.extend(some),
            Said::Lacking(lacking) => self.lacking.push((lacking, Vec::new())),
            Said::Names(some) => {
                // Those of nobody are missing where they are counted.
                if let Some((_, names)) = self.lacking.last_mut() {
                    names.extend(some);
                }
            }
            _ => {}
        }
    }

    /// What was found; no less than it speaks of.
    pub(super) fn checked(self, found: Found) -> Result<Checked> {
        let mut checked = found.rest;
        checked.damage = self.damage;
        checked.spoiled = self.spoiled;
        let lacking = self.lacking.into_iter().map(|(mut lacking, names)| {
            lacking.names = Names::new(names, lacking.names.more());
            lacking
        });
        checked.lacking = lacking.collect();
        let told = (
            checked.damage.len() as u64,
            checked.spoiled.len() as u64,
            checked.lacking.len() as u64,
            checked.lacking.iter().map(named).sum::<u64>(),
        );
        match told == (found.damage, found.spoiled, found.lacking, found.named) {
            true => Ok(checked),
            false => Err(other("not all that was found damaged was told")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            lines::tests::deep,
            wire::{Heard, say},
        },
        *,
    };
    use crate::backup::repository::SnapshotId;

    /// What comes of it at the other end; of what is told, only the first so many lines.
    fn comes(checked: Checked, lines: usize) -> Result<Checked> {
        let mut sent: Vec<u8> = Vec::new();
        let mut count = 0;
        let found = tell(checked, &mut |said| {
            count += 1;
            match count <= lines {
                true => say(&mut sent, said),
                false => Ok(()),
            }
        });
        let mut findings = Findings::default();
        let mut heard = Heard::new(sent.as_slice());
        while let Some(said) = heard.next::<Said>().unwrap() {
            findings.take(said);
        }
        findings.checked(found.unwrap())
    }

    #[test]
    fn very_much_damage_comes_through_and_less_than_was_told_of_is_none() {
        let name = |number: u32| FileError {
            path: deep().join(number.to_string().as_bytes()),
            message: format!("{number} is gone"),
        };
        let lacking = |digit: &str, named: u32| Lacking {
            snapshot: SnapshotId(digit.repeat(64)),
            names: Names::new((0..named).map(name), 7),
        };
        let checked = || Checked {
            damage: vec![deep().to_text(); 100],
            to_its_end: true,
            lacking: vec![lacking("0", 0), lacking("1", 60), lacking("2", 1)],
            spoiled: (0..2_000_000).map(|number| u32::MAX - number).collect(),
            packs_read: 3,
            ..Checked::default()
        };
        let (sent, came) = (checked(), comes(checked(), usize::MAX).unwrap());
        assert!(came.spoiled == sent.spoiled && came.lacking == sent.lacking);
        assert_eq!((came.to_its_end, came.packs_read), (true, 3));
        assert_eq!(came.damage.len(), 100);
        assert!(
            came.damage
                .iter()
                .all(|text| sent.damage[0].starts_with(text.trim_end_matches('…')))
        );
        comes(checked(), 2).unwrap_err();
        assert!(comes(Checked::default(), 0).unwrap().damage.is_empty());
    }
}
