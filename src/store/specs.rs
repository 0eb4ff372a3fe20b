//! Specifications that are read: what stands in many rows is parsed once, and kept once.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use sha2::{Digest as _, Sha256};

use super::convert;
use crate::{domain::TaskSpec, error::Result};

/// Forgotten ones are swept out when there are twice as many as after the last sweep, and never below this.
const SWEPT_FROM: usize = 1024;

static READ: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct Shared {
    specs: HashMap<[u8; 32], Weak<TaskSpec>>,
    sweep_at: usize,
}

/// The specification of this text; the same one for the same text as long as someone holds it.
pub(super) fn read(text: &str) -> Result<Arc<TaskSpec>> {
    let key: [u8; 32] = Sha256::digest(text).into();
    let known = |shared: &Shared| shared.specs.get(&key).and_then(Weak::upgrade);
    if let Some(spec) = known(&READ.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(spec);
    }
    let spec: Arc<TaskSpec> = Arc::new(convert::read(text)?);
    let mut shared = READ.lock().unwrap_or_else(PoisonError::into_inner);
    // Another may have read it meanwhile.
    if let Some(spec) = known(&shared) {
        return Ok(spec);
    }
    shared.put(key, &spec);
    Ok(spec)
}

impl Shared {
    fn put(&mut self, key: [u8; 32], spec: &Arc<TaskSpec>) {
        if self.sweep_at.max(SWEPT_FROM) <= self.specs.len() {
            self.specs.retain(|_, spec| 0 < spec.strong_count());
            self.specs.shrink_to_fit();
            self.sweep_at = 2 * self.specs.len();
        }
        self.specs.insert(key, Arc::downgrade(spec));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_a_specification_while_someone_holds_it() {
        let text = r#"{"kind": "of-this-test"}"#;
        let (one, other) = (read(text).unwrap(), read(text).unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        let another = read(r#"{"kind": "of-another"}"#).unwrap();
        assert_eq!(one.kind, "of-this-test");
        assert_eq!(another.kind, "of-another");
        assert!(read("{").is_err());
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let mut shared = Shared::default();
        let kept = Arc::new(TaskSpec::default());
        for number in 0..10 * SWEPT_FROM {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            let spec = match number {
                0 => kept.clone(),
                _ => Arc::default(),
            };
            shared.put(key, &spec);
            assert!(shared.specs.len() <= SWEPT_FROM);
        }
        let first = shared.specs.get(&[0; 32]).and_then(Weak::upgrade);
        assert!(first.is_some_and(|first| Arc::ptr_eq(&first, &kept)));
    }
}
