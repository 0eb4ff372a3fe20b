//! Names that someone may have meant.

/// Up to three names that someone may have meant by `wanted`, the nearest first.
pub(super) fn near(wanted: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    // Of a short name, three edits make anything.
    let far_at_most = (wanted.len() / 3).clamp(1, 3);
    let mut near: Vec<(usize, String)> = names
        .map(|name| (distance(wanted, &name), name))
        .filter(|(far, name)| *far <= far_at_most || name.contains(wanted))
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Edits that turn one word into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
