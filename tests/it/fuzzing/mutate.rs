//! Mutations of what is in the corpus: a few bytes, a piece twice, a piece of another file.

use std::path::Path;

use proptest::{collection::vec, prelude::*, sample::Index};

/// Longer than this nothing grows here; the fuzzer goes further.
const BYTES_MAX: usize = 16 << 10;

/// One change to a text.
#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    Insert(Index, String),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    /// A piece of another file of the corpus.
    Splice(Index, Vec<u8>, Index, usize),
    CutOff(Index),
}

/// Every file of a corpus, by name.
pub(crate) fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new("tests/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder:?} is empty");
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// A file of the corpus after up to eight changes; `words` are inserted as they are.
pub(crate) fn mutated(
    name: &str,
    words: &'static [&'static str],
) -> impl Strategy<Value = Vec<u8>> + use<> {
    let files = corpus(name);
    let file = proptest::sample::select(files.clone());
    let word = proptest::sample::select(words).prop_map(str::to_owned);
    let length = 1_usize..40;
    let change = prop_oneof![
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (any::<Index>(), word).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => (any::<Index>(), length.clone()).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (any::<Index>(), length.clone(), 1_usize..30)
            .prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        2 => (any::<Index>(), file.clone(), any::<Index>(), length)
            .prop_map(|(at, other, from, length)| Change::Splice(at, other, from, length)),
        1 => any::<Index>().prop_map(Change::CutOff),
    ];
    (file, vec(change, 0..8)).prop_map(|(mut text, changes)| {
        for change in changes {
            change.apply(&mut text);
        }
        text.truncate(BYTES_MAX);
        text
    })
}

impl Change {
    fn apply(self, text: &mut Vec<u8>) {
        match self {
            Self::Byte(at, byte) => {
                let at = at.index(text.len().max(1));
                if let Some(place) = text.get_mut(at) {
                    *place = byte;
                }
            }
            Self::Insert(at, word) => insert(text, at, word.bytes()),
            Self::Remove(at, length) => {
                drop(text.drain(span(text, at, length)));
            }
            Self::Repeat(at, length, times) => {
                let piece = text[span(text, at, length)].repeat(times);
                insert(text, at, piece);
            }
            Self::Splice(at, other, from, length) => {
                let piece = other[span(&other, from, length)].to_vec();
                insert(text, at, piece);
            }
            Self::CutOff(at) => text.truncate(at.index(text.len() + 1)),
        }
    }
}

fn insert(text: &mut Vec<u8>, at: Index, piece: impl IntoIterator<Item = u8>) {
    let at = at.index(text.len() + 1);
    text.splice(at..at, piece);
}

fn span(text: &[u8], at: Index, length: usize) -> std::ops::Range<usize> {
    let from = at.index(text.len() + 1);
    from..(from + length).min(text.len())
}

/// Bytes as a page token has them.
pub(super) fn encoded(text: &[u8]) -> String {
    text.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What such a token holds.
pub(super) fn decoded(token: &str) -> Vec<u8> {
    let pairs = token.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
