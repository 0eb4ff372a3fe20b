//! The beginning and the end of an answer, masked before they are cut.

use crate::config::Masker;

/// Bytes kept of the beginning, and as many of the end.
const PART_BYTES: usize = 4 << 10;

/// What is kept of an answer while the rest passes by.
#[derive(Debug)]
pub(super) struct Excerpt {
    masker: Masker,
    head: Vec<u8>,
    tail: Vec<u8>,
    left_out: u64,
}

impl Excerpt {
    pub(super) fn new(masker: Masker) -> Self {
        Self {
            masker,
            head: Vec::new(),
            tail: Vec::new(),
            left_out: 0,
        }
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        match self.masker.is_needed() {
            true => {
                let shown = self.masker.pass(piece);
                self.keep(&shown);
            }
            false => self.keep(piece),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = PART_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        let (head, tail) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(tail);
        // Moved once in a while, and not for each piece.
        if 2 * PART_BYTES < self.tail.len() {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let over = self.tail.len().saturating_sub(PART_BYTES);
        self.tail.drain(..over);
        self.left_out += over as u64;
    }

    /// The lines to show, made fit to be shown.
    pub(super) fn lines(mut self) -> Vec<String> {
        let rest = self.masker.rest();
        self.keep(&rest);
        self.cut();
        if self.left_out == 0 {
            self.head.append(&mut self.tail);
            return lines_of(&self.head);
        }
        // A character that the cut went through is left out too.
        let head = self.head.utf8_chunks().next().map_or(0, |first| {
            match first.invalid().len() + first.valid().len() {
                all if all == self.head.len() => first.valid().len(),
                _ => self.head.len(),
            }
        });
        let tail = self
            .tail
            .iter()
            .take(3)
            .take_while(|byte| **byte & 0xc0 == 0x80)
            .count();
        let left_out = self.left_out + (self.head.len() - head + tail) as u64;
        let mut lines = lines_of(&self.head[..head]);
        lines.push(format!("… {left_out} bytes left out …"));
        lines.extend(lines_of(&self.tail[tail..]));
        lines
    }
}

fn lines_of(bytes: &[u8]) -> Vec<String> {
    let shown = |c: char| match c.is_control() && c != '\t' {
        true => '\u{fffd}',
        false => c,
    };
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .map(|line| line.chars().map(shown).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(secret: &str, text: &str, piece: usize) -> String {
        let mut excerpt = Excerpt::new(Masker::new([secret]));
        for piece in text.as_bytes().chunks(piece) {
            excerpt.add(piece);
        }
        excerpt.lines().join("\n")
    }

    #[test]
    fn what_is_short_is_shown_whole() {
        assert_eq!(excerpt("", "one\r\ntwo\tx\x07\n", 3), "one\ntwo\tx\u{fffd}");
        let long = "ä".repeat(PART_BYTES);
        assert_eq!(excerpt("", &long, 7), long);
    }

    #[test]
    fn beginning_and_end_are_shown_and_what_lay_between_is_counted() {
        let text = format!("first\n{}\nlast", "ä".repeat(PART_BYTES * 3));
        for piece in [1, 1000, text.len()] {
            let shown = excerpt("", &text, piece);
            assert!(shown.starts_with("first\nää"), "{shown}");
            assert!(shown.ends_with("ää\nlast"), "{shown}");
            assert!(!shown.contains('\u{fffd}'), "{shown}");
            let kept = shown.lines().filter(|line| !line.starts_with('…'));
            let kept: usize = kept.map(str::len).sum::<usize>() + 2;
            let said = format!("… {} bytes left out …", text.len() - kept);
            assert!(shown.contains(&said), "{said} {shown}");
        }
    }

    #[test]
    fn a_secret_across_a_cut_is_masked() {
        for shift in 0..12 {
            for (before, after) in [(PART_BYTES, PART_BYTES * 2), (PART_BYTES * 2, PART_BYTES)] {
                let text = format!(
                    "{}hunter2{}",
                    "x".repeat(before - shift),
                    "x".repeat(after - 12 + shift)
                );
                let shown = excerpt("hunter2", &text, 1000);
                for length in 3..7 {
                    assert!(!shown.contains(&"hunter2"[..length]), "{shift} {shown}");
                    assert!(!shown.contains(&"hunter2"[7 - length..]), "{shift} {shown}");
                }
            }
        }
    }
}
