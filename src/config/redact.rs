//! Masking of secrets in what passes by, wherever it is cut into pieces.

use std::{collections::BTreeSet, fmt};

use memchr::memmem;

const MASK: &[u8] = b"***";

/// A filter that replaces secrets by `***` in a stream of bytes. What may be the beginning of a secret is
/// held back until more has come, so that none is shown because it lay across two pieces.
#[derive(Clone, Default)]
pub struct Masker {
    /// The secrets, each as it is and as JSON and URLs spell it.
    forms: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Masker {
    /// A filter for these secrets; empty ones hide nothing.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let forms: BTreeSet<Vec<u8>> = secrets.into_iter().flat_map(spellings).collect();
        Self {
            forms: forms.into_iter().filter(|form| !form.is_empty()).collect(),
            held: Vec::new(),
        }
    }

    /// Whether there is anything to mask.
    pub fn is_needed(&self) -> bool {
        !self.forms.is_empty()
    }

    /// What may be shown by now, of this piece and what was held back before.
    pub fn pass(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let found = self.found();
        let mut end = self.held.len() - self.beginning();
        // A secret that is the beginning of a longer one waits with it; else it is told by itself.
        if let Some((start, stop)) = found
            .iter()
            .find(|(start, stop)| *start < end && end < *stop)
        {
            end = if self.held.len() == *stop {
                *stop
            } else {
                *start
            };
        }
        let shown = masked(&self.held[..end], &found);
        self.held.drain(..end);
        shown
    }

    /// What is still held back: nothing more comes.
    pub fn rest(&mut self) -> Vec<u8> {
        let shown = masked(&self.held, &self.found());
        self.held.clear();
        shown
    }

    /// The whole of a text, masked.
    pub fn text(&self, text: &str) -> String {
        let mut masker = Self {
            forms: self.forms.clone(),
            held: text.as_bytes().to_vec(),
        };
        String::from_utf8_lossy(&masker.rest()).into_owned()
    }

    /// Where secrets are in what is held, in order; those that overlap are one.
    fn found(&self) -> Vec<(usize, usize)> {
        let mut places: Vec<(usize, usize)> = self
            .forms
            .iter()
            .flat_map(|form| memmem::find_iter(&self.held, form).map(|at| (at, at + form.len())))
            .collect();
        places.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (start, stop) in places {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(stop),
                _ => merged.push((start, stop)),
            }
        }
        merged
    }

    /// Bytes at the end that may be the beginning of a secret.
    fn beginning(&self) -> usize {
        let of = |form: &Vec<u8>| {
            let longest = (form.len() - 1).min(self.held.len());
            (1..=longest)
                .rev()
                .find(|length| self.held.ends_with(&form[..*length]))
        };
        self.forms.iter().filter_map(of).max().unwrap_or(0)
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masker(***)")
    }
}

/// The bytes with each of these places, as far as they are within, replaced.
fn masked(bytes: &[u8], places: &[(usize, usize)]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len());
    let mut told = 0;
    for (start, stop) in places.iter().filter(|(_, stop)| *stop <= bytes.len()) {
        shown.extend_from_slice(&bytes[told..*start]);
        shown.extend_from_slice(MASK);
        told = *stop;
    }
    shown.extend_from_slice(&bytes[told..]);
    shown
}

/// A secret as it is, and as JSON, a form and a URL spell it.
fn spellings(secret: &str) -> [Vec<u8>; 4] {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.trim_start_matches('"');
    let json = json.strip_suffix('"').unwrap_or(json);
    let encoded = |space: &str| {
        let mut text = String::with_capacity(secret.len());
        for byte in secret.bytes() {
            match byte {
                b' ' => text.push_str(space),
                b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                    text.push(char::from(byte));
                }
                _ => text.push_str(&format!("%{byte:02X}")),
            }
        }
        text
    };
    [
        secret.as_bytes().to_vec(),
        json.as_bytes().to_vec(),
        encoded("+").into_bytes(),
        encoded("%20").into_bytes(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of these pieces, and that nothing is shown early that must not be.
    fn shown(secrets: &[&str], pieces: &[&str]) -> String {
        let mut masker = Masker::new(secrets.iter().copied());
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(masker.pass(piece.as_bytes()));
        }
        all.extend(masker.rest());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn a_secret_is_masked_wherever_it_is_cut() {
        let text = "a hunter2 and hunt, hunter2hunter2 hunter";
        let masked = "a *** and hunt, ****** hunter";
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(shown(&["hunter2"], &pieces), masked, "{pieces:?}");
            }
        }
    }

    #[test]
    fn one_that_begins_another_is_masked_with_it() {
        assert_eq!(shown(&["ab", "abcd"], &["xab", "cdx"]), "x***x");
        assert_eq!(shown(&["ab", "abcd"], &["xab", "ef"]), "x***ef");
        assert_eq!(shown(&["ab", "bc"], &["abc"]), "***");
    }

    #[test]
    fn it_is_masked_as_json_and_urls_spell_it() {
        let secret = "s\"3 cr/et";
        let told = r#"{"t":"s\"3 cr/et"} ?t=s%223+cr%2Fet&u=s%223%20cr%2Fet"#;
        assert_eq!(shown(&[secret], &[told]), r#"{"t":"***"} ?t=***&u=***"#);
    }

    #[test]
    fn what_cannot_become_a_secret_is_shown_at_once() {
        let mut masker = Masker::new(["hunter2"]);
        assert_eq!(masker.pass(b"a line\n"), b"a line\n");
        assert_eq!(masker.pass(b"hun"), b"");
        assert_eq!(masker.pass(b"gry\n"), b"hungry\n");
        assert!(!Masker::new([""]).is_needed());
    }
}
