//! Comments lines out of a crontab, and leaves every other byte as it is.

use std::collections::BTreeSet;

/// What stands before a line that Watchbell runs now. cron reads it as a comment.
const MARK: &[u8] = b"# watchbell: ";

/// The content with these lines, counted from 1, commented out.
pub fn disabled(content: &[u8], lines: &BTreeSet<usize>) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + lines.len() * MARK.len());
    for (index, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if lines.contains(&(index + 1)) {
            out.extend_from_slice(MARK);
        }
        out.extend_from_slice(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_are_named_change() {
        let content = b"A=b\n@daily /a \xff\r\n\n  @hourly /b";
        let out = disabled(content, &BTreeSet::from([2, 4]));
        assert_eq!(
            out,
            b"A=b\n# watchbell: @daily /a \xff\r\n\n# watchbell:   @hourly /b"
        );
        assert_eq!(disabled(content, &BTreeSet::new()), content);
    }
}
