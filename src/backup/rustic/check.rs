//! Checks: structure, and data by subsets that are together everything.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::Arc,
};

use rustic_core::{
    CheckOptions, CheckResults, FileType, Id, OpenStatus, ReadBackend as _, ReadSubsetOption,
    Repository, RusticError, TreeId, repofile::IndexFile,
};
use sha2::{Digest as _, Sha256};

use super::{
    Rustic,
    error::{broke_down, is_damage, other, other_io, text_of, words},
    files::{files, pack_path},
    gate::Operation,
    lacking::{Spoiled, lacking, readable},
    place::Right,
    quiet::quietly,
    reads::forget_cached,
    session,
};
use crate::{
    backup::repository::{Checked, Hand, Progress, ReadData, RepositoryError, Result},
    domain::backup::table::hex,
};

/// Findings that are told.
const TOLD: usize = 1000;

/// Digits of an id that the library shows.
const SHORT_ID: usize = 8;

/// Looks that are begun at the most, where the library gives one up that has found nothing.
const LOOKS: u32 = 5;

/// Packs by their ids, with their sizes.
pub(super) type Packs = BTreeMap<Id, u32>;

pub(super) fn check(rustic: &Rustic, read: ReadData, hand: &Hand) -> Result<Checked> {
    let options = options(read)?;
    let told = Arc::clone(&hand.progress);
    let operation = Operation::that_tells(&rustic.place, &hand.cancel, move |bytes| {
        told(Progress { files: 0, bytes });
    });
    let held = rustic.enter(Right::Shared, &operation)?;
    let (rustic, at_work) = (rustic.clone(), Arc::clone(&operation));
    let hand = hand.clone();
    quietly(&operation, move || {
        let _held = held;
        let opened = session::open(&rustic.place, &rustic.key, &at_work)?;
        let packs = match packs_of(&opened) {
            Ok(packs) => packs,
            Err(error) => return unlisted(&error, &at_work),
        };
        let looked = catch_unwind(AssertUnwindSafe(|| -> Result<_> {
            let (snapshots, unread) = readable(&opened, &at_work)?;
            let trees: Vec<TreeId> = snapshots.iter().map(|snapshot| snapshot.tree).collect();
            let look = || opened.check_with_trees(options, trees.clone());
            Ok((patiently(look), unread))
        }));
        // What the library could not read for that is no damage.
        if let Some(why) = at_work.reason() {
            return Err(why);
        }
        let mut checked = match looked {
            Ok(Ok((Ok(results), unread))) => {
                // Where a tree is lost, the library gives up before it has read any pack; and what only a snapshot that cannot
                // be read refers to, it passes over.
                let is_to_read = gave_up(&results) || !unread.is_empty();
                // It names each pack by the beginning of its id.
                let texts = results.0.iter().map(|(_, finding)| finding.to_string());
                let texts: Vec<String> = texts.collect();
                let mut spoiled = spoiled_in(&rustic.place, &packs, &texts)?;
                let mut checked = found(&packs, results, &at_work);
                checked
                    .damage
                    .extend(unread.into_iter().map(|(_, what)| what));
                if is_to_read {
                    (checked.packs_read, checked.bytes_read) = (0, 0);
                    let bad =
                        read_packs(&rustic.place, &packs, read, &at_work, &hand, &mut checked)?;
                    spoiled.doubted.extend(bad);
                }
                checked.to_its_end = true;
                if !checked.damage.is_empty() {
                    note_losses(&rustic, &spoiled, &at_work, &mut checked)?;
                }
                checked
            }
            Ok(Ok((Err(error), _))) => return unlisted(&error, &at_work),
            Ok(Err(error)) => return Err(error),
            // It breaks down where something is not what the index says of it.
            Err(panic) => {
                let mut checked = bare(&packs);
                checked.damage.push(broke_down(&*panic));
                let mut spoiled = spoiled_in(&rustic.place, &packs, &[])?;
                let bad = read_packs(&rustic.place, &packs, read, &at_work, &hand, &mut checked)?;
                spoiled.doubted.extend(bad);
                // What is gone or bad is known all the same, and whose that is can mostly be told.
                let noted = catch_unwind(AssertUnwindSafe(|| {
                    note_losses(&rustic, &spoiled, &at_work, &mut checked)
                }));
                match noted {
                    Ok(Err(RepositoryError::Damaged { what })) => checked.damage.push(what),
                    Ok(noted) => noted?,
                    Err(panic) => checked.damage.push(broke_down(&*panic)),
                }
                checked
            }
        };
        at_work.expect_to_go_on()?;
        checked.damage.truncate(TOLD + 1);
        Ok(checked)
    })
}

/// Notes what is lost, and which snapshots refer to it.
fn note_losses(
    rustic: &Rustic,
    spoiled: &Spoiled,
    operation: &Arc<Operation>,
    checked: &mut Checked,
) -> Result<()> {
    let packs = spoiled.gone.iter().chain(&spoiled.doubted);
    checked.spoiled = packs.map(Id::as_u32).collect();
    let losses = lacking(rustic, spoiled, operation)?;
    checked.spoiled.extend(losses.pieces.iter().map(Id::as_u32));
    checked.lacking = losses.of;
    Ok(())
}

/// What comes of a check where it cannot be told what there is to look at.
fn unlisted(error: &RusticError, operation: &Operation) -> Result<Checked> {
    if let Some(why) = operation.reason() {
        return Err(why);
    }
    match is_damage(error) {
        true => Ok(Checked {
            damage: vec![words(error)],
            ..Checked::default()
        }),
        false => Err(operation.explain(error)),
    }
}

/// That nothing was read yet.
fn bare(packs: &Packs) -> Checked {
    Checked {
        packs: packs.len() as u64,
        bytes: packs.values().map(|size| u64::from(*size)).sum(),
        ..Checked::default()
    }
}

fn found(packs: &Packs, results: CheckResults, operation: &Operation) -> Checked {
    let mut checked = Checked {
        damage: damage(results),
        ..bare(packs)
    };
    let read = operation.packs_read();
    for (pack, size) in packs {
        let size = u64::from(*size);
        // A pack is read from its beginning to its end where its data is looked at.
        if read.get(pack) == Some(&size) {
            checked.packs_read += 1;
            checked.bytes_read += size;
        }
    }
    checked
}

fn gave_up(results: &CheckResults) -> bool {
    // The library does not export what would be matched.
    let mut findings = results.0.iter();
    findings.any(|(_, finding)| format!("{finding:?}").starts_with("ErrorCheckingTrees"))
}

/// Packs that are gone, and those that are not what the index says or are named by what the library has said.
fn spoiled_in(place: &Path, packs: &Packs, texts: &[String]) -> Result<Spoiled> {
    let there = files(place, FileType::Pack)
        .map_err(|error| other_io("list the packs of", place, error))?;
    let there: Packs = there.into_iter().collect();
    let gone = packs.keys().filter(|id| !there.contains_key(id)).copied();
    let other_size = |(id, size): &(&Id, &u32)| there.get(id).is_some_and(|there| there != *size);
    let resized = packs.iter().filter(other_size).map(|(id, _)| *id);
    let is_hex = |word: &&str| {
        let all = word.bytes().all(|byte| byte.is_ascii_hexdigit());
        SHORT_ID <= word.len() && all
    };
    let words = texts
        .iter()
        .flat_map(|text| text.split(|letter: char| !letter.is_ascii_alphanumeric()))
        .filter(is_hex)
        .map(|word| &word[..SHORT_ID]);
    let named: BTreeSet<&str> = words.collect();
    let is_named = |id: &&Id| named.contains(&id.to_hex().as_str()[..SHORT_ID]);
    let mut spoiled = Spoiled {
        gone: gone.collect(),
        doubted: resized.collect(),
    };
    let named = packs.keys().filter(is_named);
    let named = named.filter(|id| there.contains_key(id)).copied();
    spoiled.doubted.extend(named);
    Ok(spoiled)
}

/// Reads packs from their beginning to their end: each is named by the SHA-256 of all that is in it. Answers those that
/// are not what was written.
pub(super) fn read_packs(
    place: &Path,
    packs: &Packs,
    read: ReadData,
    operation: &Arc<Operation>,
    hand: &Hand,
    checked: &mut Checked,
) -> Result<BTreeSet<Id>> {
    let mut bad = BTreeSet::new();
    let wanted = |id: &Id| match read {
        ReadData::None => false,
        ReadData::All => true,
        // As the library parts them.
        ReadData::Part { part, of } => id.as_u32() % of == part % of,
    };
    let stored = session::files(place)?;
    for (id, size) in packs.iter().filter(|(id, _)| wanted(id)) {
        operation.expect_to_go_on()?;
        let name = id.to_hex();
        let name = name.as_str();
        // Where that cannot be had, it is read as ever.
        let _ = forget_cached(&pack_path(place, id));
        let damage = match stored.read_full(FileType::Pack, id) {
            Ok(bytes) if hex(&Sha256::digest(&bytes)) == name => None,
            Ok(_) => Some(format!("pack {name} is not what was written")),
            Err(error) if is_damage(&error) => Some(format!("pack {name}: {}", words(&error))),
            Err(error) => return Err(operation.explain(&error)),
        };
        // Without a lock it may have been removed meanwhile, and rightly so.
        operation.expect_to_go_on()?;
        if damage.is_some() {
            bad.insert(*id);
        }
        checked.packs_read += 1;
        checked.bytes_read += u64::from(*size);
        (hand.progress)(Progress {
            files: 0,
            bytes: checked.bytes_read,
        });
        if checked.damage.len() < TOLD {
            checked.damage.extend(damage);
        }
    }
    Ok(bad)
}

fn options(read: ReadData) -> Result<CheckOptions> {
    let options = CheckOptions::default();
    Ok(match read {
        ReadData::None => options,
        ReadData::All => options.read_data(true),
        ReadData::Part { part, of } if part == 0 || of < part => {
            return Err(other(format!("there is no part {part} of {of}")));
        }
        ReadData::Part { part, of } => options
            .read_data(true)
            .read_data_subset(ReadSubsetOption::IdSubSet((part, of))),
    })
}

/// Looks again where the library has panicked for want of patience: between two steps of a check it waits a tenth of a
/// second for threads of its own to end, and those are modest, and may get no processor for as long.
fn patiently<T>(look: impl Fn() -> T) -> T {
    for _ in 1..LOOKS {
        match catch_unwind(AssertUnwindSafe(&look)) {
            Ok(looked) => return looked,
            Err(panic) if was_impatient(&*panic) => {}
            Err(panic) => resume_unwind(panic),
        }
    }
    look()
}

fn was_impatient(panic: &(dyn Any + Send)) -> bool {
    text_of(panic).is_some_and(|text| text.starts_with("index still in use"))
}

fn packs_of(repository: &Repository<OpenStatus>) -> std::result::Result<Packs, Box<RusticError>> {
    let mut packs = Packs::new();
    for index in repository.stream_files::<IndexFile>()? {
        let (_, index) = index?;
        packs.extend(index.packs.iter().map(|pack| (*pack.id, pack.pack_size())));
    }
    Ok(packs)
}

fn damage(results: CheckResults) -> Vec<String> {
    let mut damage = Vec::new();
    for (level, finding) in results.0 {
        // The library does not export what would be compared with.
        if format!("{level:?}") != "Error" {
            continue;
        }
        let mut text = finding.to_string();
        if let Some(cause) = std::error::Error::source(&finding) {
            let cause = cause.downcast_ref::<Box<RusticError>>();
            text.extend(cause.map(|cause| format!(": {}", words(cause))));
        }
        damage.push(text);
    }
    // Threads have found it, in any order; whoever looks again is to know it again.
    damage.sort();
    if TOLD < damage.len() {
        damage.truncate(TOLD);
        damage.push("and more".to_owned());
    }
    damage
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_the_library_gave_up_is_looked_at_again_and_nothing_else_is() {
        let looks = Cell::new(0);
        let after = |count: u32, words: &'static str| {
            looks.set(0);
            let look = || {
                looks.set(looks.get() + 1);
                assert!(count < looks.get(), "{words}");
                looks.get()
            };
            catch_unwind(AssertUnwindSafe(|| patiently(look))).ok()
        };
        assert_eq!(after(2, "index still in use: Index(…)"), Some(3));
        assert_eq!(after(9, "index still in use: Index(…)"), None);
        assert_eq!(looks.get(), LOOKS);
        assert_eq!(after(1, "another thing"), None);
        assert_eq!(looks.get(), 1);
    }
}
