//! Pages: sizes, and tokens that are bound to the list they come from.

use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Reason, Result};

const SIZE_DEFAULT: u64 = 50;
pub(super) const SIZE_MAX: u64 = 1000;
/// A page's answer stays below this.
const BYTES_MAX: usize = 1 << 20;
/// Of the digest of what identifies a list; each is written in two digits.
const SCOPE_BYTES: usize = 6;

/// The size that was asked for; a larger one than allowed is cut (AIP-158).
pub(super) fn size(asked: i32, default: u64) -> Result<u64> {
    match u64::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(asked) => Ok(asked.min(SIZE_MAX)),
        Err(_) => Err(Error::invalid(
            "page_size",
            format!("{asked} given; expected 0 to {SIZE_MAX}"),
        )),
    }
}

pub(super) fn default_size(asked: i32) -> Result<u64> {
    size(asked, SIZE_DEFAULT)
}

/// What identifies a list: its method and everything that filters it.
pub(super) fn scope(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()
        .iter()
        .take(SCOPE_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A token for going on after `key`.
pub(super) fn token(scope: &str, key: &str) -> String {
    let text = format!("1{scope}{key}");
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The key in a token; none of an empty one.
///
/// # Errors
/// [`Error::Invalid`] where it is no token of this list.
pub(super) fn key(scope: &str, token: &str) -> Result<Option<String>> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        Error::invalid(
            "page_token",
            "it is not one of this list with this filter; begin without a page_token",
        )
    };
    let bytes: Option<Vec<u8>> = token
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let text = bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(wrong)?;
    let after = text
        .strip_prefix('1')
        .and_then(|text| text.strip_prefix(scope))
        .ok_or_else(wrong)?;
    // A byte can be spelt in more ways than the one in which it was given.
    if token != self::token(scope, after) {
        return Err(wrong());
    }
    Ok(Some(after.to_owned()))
}

/// A token for going on after `key` in a list of what belongs to these things, which was found by a name. It says so
/// where `is_told`: a server of an earlier version refuses one that does.
pub(super) fn token_of<T: ToString>(scope: &str, things: &[T], is_told: bool, key: &str) -> String {
    match is_told && !things.is_empty() {
        true => token(scope, &format!("{key}#{}", digest(things))),
        false => token(scope, key),
    }
}

/// The key in such a token; none of an empty one.
///
/// # Errors
/// [`Error::Invalid`] where it is no token of this list; [`Error::Conflict`] `REPLACED` where the name stands for others by
/// now.
pub(super) fn key_of<K: FromStr, T: ToString>(
    scope: &str,
    things: &[T],
    token: &str,
) -> Result<Option<K>> {
    let Some(found) = key(scope, token)? else {
        return Ok(None);
    };
    // A server of an earlier version gave tokens that say nothing of it.
    let (key, of) = match found.split_once('#') {
        Some((key, of)) => (key, Some(of)),
        None => (found.as_str(), None),
    };
    let key = read(key)?;
    match of {
        // A list of nothing that is named gives none that says so, and what no server makes was damaged on its way.
        Some(of) if things.is_empty() || !is_digest(of) => Err(damaged()),
        Some(of) if of != digest(things) => Err(replaced("the list")),
        _ => Ok(Some(key)),
    }
}

/// Whether that is how [`scope`] writes one.
fn is_digest(text: &str) -> bool {
    text.len() == 2 * SCOPE_BYTES
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn digest<T: ToString>(things: &[T]) -> String {
    let things: Vec<String> = things.iter().map(T::to_string).collect();
    let things: Vec<&str> = things.iter().map(String::as_str).collect();
    scope(&things)
}

/// A key in parts.
pub(super) fn read<T: FromStr>(key: &str) -> Result<T> {
    key.parse().map_err(|_| damaged())
}

pub(super) fn damaged() -> Error {
    Error::invalid("page_token", "it is damaged; begin without a page_token")
}

/// That a token is of a thing that is no more, though another has its name.
pub(super) fn replaced(what: &str) -> Error {
    Error::conflict(
        Reason::Replaced,
        "token",
        format!(
            "what {what} was of has been deleted, and another has its name since; begin without a token, to see that one"
        ),
    )
}

/// Cuts a page before it grows too large; says after how many.
pub(super) fn fit<M: prost::Message>(items: &[M]) -> usize {
    let mut bytes = 0;
    for (index, item) in items.iter().enumerate() {
        bytes += item.encoded_len() + 8;
        if BYTES_MAX < bytes && 0 < index {
            return index;
        }
    }
    items.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_list_only() {
        let here = scope(&["ListTasks", "kind"]);
        let token = token(&here, "backup-daily\n");
        assert_eq!(
            key(&here, &token).unwrap().as_deref(),
            Some("backup-daily\n")
        );
        assert_eq!(key(&here, "").unwrap(), None);
        assert!(key(&scope(&["ListTasks", "other"]), &token).is_err());
        let (shouted, signed) = (token.to_uppercase(), format!("+1{}", &token[2..]));
        assert_ne!(shouted, token);
        for wrong in ["x", "zz", "31", "ä", &token[1..], &shouted, &signed] {
            assert!(key(&here, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_says_what_it_is_of_where_all_read_that() {
        let here = scope(&["ListRuns", "tasks/task"]);
        let (told, untold) = (
            token_of(&here, &[1], true, "7"),
            token_of(&here, &[1], false, "7"),
        );
        assert_eq!(untold, token(&here, "7"), "as a server of before makes it");
        for token in [&told, &untold] {
            assert_eq!(key_of(&here, &[1], token).unwrap(), Some(7));
        }
        let is_replaced = |things: &[i32], key: &str| {
            let read = key_of::<i32, _>(&here, things, &token(&here, key));
            matches!(read.unwrap_err(), Error::Conflict { .. })
        };
        let of = digest(&[1]);
        assert!(is_replaced(&[2], &format!("7#{of}")));
        let none: [i32; 0] = [];
        for (things, damaged) in [
            (&none[..], format!("7#{of}")),
            (&[1], format!("x#{of}")),
            (&[2], format!("#{of}")),
            (&[2], format!("7#{}", of.to_uppercase() + "A")),
            (&[2], "7#".to_owned()),
            (&[2], format!("7#{of}0")),
            (&[2], format!("7#{of}#")),
        ] {
            assert!(!is_replaced(things, &damaged), "{damaged}");
        }
        assert_eq!(token_of(&here, &none, true, "7"), untold);
    }
}
