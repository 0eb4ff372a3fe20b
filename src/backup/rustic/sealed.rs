//! Files of a repository that the library has no kind for: sealed with the master key as restic does, and opened.

use std::io::Read as _;

use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce, aead::Aead as _};
use rustic_core::repofile::MasterKey;

use super::error::other;
use crate::backup::repository::Result;

const NONCE_BYTES: usize = 16;
const KEY_BYTES: usize = 64;
/// What is opened is small.
const OPENED_MAX: u64 = 1 << 20;
/// The first byte of what was compressed, where the rest is zstd.
const COMPRESSED: u8 = 2;

/// Encrypts and signs.
pub(super) fn seal(key: &MasterKey, plain: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|error| other(format!("no random bytes: {error}")))?;
    let sealed = cipher(key)?
        .encrypt(&Nonce::from(nonce), plain)
        .map_err(|_| other("could not encrypt"))?;
    Ok([&nonce[..], &sealed].concat())
}

/// What was sealed; none where it is cut off, of another key, or longer than a small file may be.
pub(super) fn open(key: &MasterKey, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let plain = cipher(key)
        .ok()?
        .decrypt(&Nonce::from(*nonce), sealed)
        .ok()?;
    match plain.split_first() {
        Some((&COMPRESSED, compressed)) => {
            let decoder = zstd::stream::read::Decoder::new(compressed).ok()?;
            let mut opened = Vec::new();
            let read = decoder.take(OPENED_MAX).read_to_end(&mut opened).ok()?;
            ((read as u64) < OPENED_MAX).then_some(opened)
        }
        _ => Some(plain),
    }
}

fn cipher(key: &MasterKey) -> Result<Aes256CtrPoly1305Aes> {
    let bytes = [&key.encrypt[..], &key.mac.k, &key.mac.r].concat();
    let bytes: [u8; KEY_BYTES] = bytes
        .try_into()
        .map_err(|_| other("the master key is not one of restic's"))?;
    Ok(Aes256CtrPoly1305Aes::new(&Key::from(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_by_its_own_key_alone() {
        let (key, other) = (MasterKey::new(), MasterKey::new());
        let sealed = seal(&key, b"a lock").unwrap();
        assert_eq!(open(&key, &sealed).as_deref(), Some(&b"a lock"[..]));
        assert_eq!(open(&other, &sealed), None);
        for cut in 0..sealed.len() {
            assert_eq!(open(&key, &sealed[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_was_compressed_is_opened_up_to_a_bound() {
        let key = MasterKey::new();
        let compressed = |count: usize| {
            let mut plain = vec![COMPRESSED];
            plain.extend(zstd::encode_all(&vec![b'a'; count][..], 1).unwrap());
            seal(&key, &plain).unwrap()
        };
        assert_eq!(open(&key, &compressed(3)).as_deref(), Some(&b"aaa"[..]));
        assert_eq!(open(&key, &compressed(1 << 21)), None);
    }
}
