//! Pages: a slice of a list by key, so that the cost of a page does not depend on how far it is.

/// Which slice is wanted: `size` rows after the key `after`.
#[derive(Clone, Debug)]
pub struct Page<K> {
    pub size: u64,
    pub after: Option<K>,
}

/// A slice, and the key to go on after where there is more.
#[derive(Clone, Debug)]
pub struct PageOf<T, K> {
    pub items: Vec<T>,
    pub next: Option<K>,
}

impl<T, K> PageOf<T, K> {
    /// Of one row more than was wanted: that one only tells that there is more.
    pub(super) fn cut(mut items: Vec<T>, size: u64, key: impl Fn(&T) -> K) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = size < items.len();
        items.truncate(size);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }
}
