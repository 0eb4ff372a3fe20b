//! The log of one attempt in bounded memory: its beginning is written at once, and its end when the attempt
//! ends. What lies between is counted and left out.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::context::Stream;
use crate::{domain::RunId, store::LogLine};

/// Bytes of log kept of one attempt: half of them of its beginning, half of its end.
pub const LOG_BYTES_MAX: usize = 1 << 20;
const PART_BYTES: usize = LOG_BYTES_MAX / 2;
/// Bytes of one line. Of what a handler says the rest is cut; what a program writes is told in parts.
const LINE_BYTES_MAX: usize = 8 << 10;
/// What a line costs besides its text: empty ones are not free.
const LINE_COST: usize = 64;
/// Lines written in one transaction, and what they may cost.
const LINES_AT_ONCE: usize = 2000;
const BYTES_AT_ONCE: usize = 256 << 10;
/// Lines of the end that were told within so long are kept as one piece, with the time of the last.
const ONE_PIECE: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
const PIECE_BYTES: usize = 16 << 10;

/// Told where the beginning is full. Should the server die, it is the last line, and says what is missing.
const HELD_BACK: &str = "… the log is over 512 KiB: what follows is written when the attempt ends, and of it the last \
                         512 KiB; if the server dies before, it is lost …";

/// How many of these lines, from the first one on, are written in one transaction.
pub(super) fn bite(lines: &[LogLine]) -> usize {
    let mut room = Room::default();
    lines.iter().take_while(|line| room.takes(line)).count()
}

/// What a transaction has taken of lines; of more logs than one it may take the whole of the last bite.
#[derive(Debug, Default)]
pub(super) struct Room {
    lines: usize,
    bytes: usize,
}

impl Room {
    /// Counts a line, and says whether it is within the bounds. The first one always is.
    fn takes(&mut self, line: &LogLine) -> bool {
        self.lines += 1;
        self.bytes += LINE_COST + line.text.len();
        self.lines == 1 || !self.is_over()
    }

    /// Counts lines.
    pub(super) fn add(&mut self, lines: &[LogLine]) {
        for line in lines {
            self.takes(line);
        }
    }

    fn is_over(&self) -> bool {
        LINES_AT_ONCE < self.lines || BYTES_AT_ONCE < self.bytes
    }

    /// Whether no more should come.
    pub(super) fn is_full(&self) -> bool {
        LINES_AT_ONCE <= self.lines || BYTES_AT_ONCE <= self.bytes
    }
}

/// The lines that are told and not yet written.
#[derive(Debug, Default)]
pub(super) struct RunLog {
    lines: Vec<LogLine>,
    /// Number of the last line of the beginning.
    number: i64,
    bytes: usize,
    /// What follows the beginning, once that is full.
    end: Option<End>,
}

/// The newest of what follows the beginning.
#[derive(Debug, Default)]
struct End {
    pieces: VecDeque<Piece>,
    bytes: usize,
    left_out: i64,
    /// Of each stream, whether what was left out ended within a line.
    torn: [bool; 3],
}

#[derive(Debug)]
struct Piece {
    stream: Stream,
    at: Timestamp,
    text: Vec<u8>,
}

impl RunLog {
    /// Adds a line.
    pub(super) fn line(
        &mut self,
        (run, attempt): (RunId, i64),
        at: Timestamp,
        stream: Stream,
        text: &str,
    ) {
        let text = cut(text);
        if self.end.is_none() && PART_BYTES < self.bytes + LINE_COST + text.len() {
            self.number += 1;
            let line = row((run, attempt), self.number, at, Stream::Log, HELD_BACK);
            self.lines.push(line);
            self.end = Some(End::default());
        }
        let Some(end) = &mut self.end else {
            self.bytes += LINE_COST + text.len();
            self.number += 1;
            self.lines
                .push(row((run, attempt), self.number, at, stream, text));
            return;
        };
        end.add(at, stream, text.as_bytes());
        end.add(at, stream, b"\n");
    }

    /// Adds bytes with whatever line ends are in them, where the beginning is full: they are not looked at
    /// until it is known that they are kept.
    pub(super) fn piece(&mut self, at: Timestamp, stream: Stream, bytes: &[u8]) {
        if let Some(end) = &mut self.end {
            end.add(at, stream, bytes);
        }
    }

    /// Whether the beginning is full.
    pub(super) fn is_full(&self) -> bool {
        self.end.is_some()
    }

    /// The next lines of the beginning. They stay until [`RunLog::written`] says that they are written:
    /// whoever ends the attempt meanwhile writes them too, and a line that is there already stays as it is.
    pub(super) fn next(&self) -> Vec<LogLine> {
        self.lines[..bite(&self.lines)].to_vec()
    }

    /// All that is not written yet, and the end.
    pub(super) fn all(&self, of: (RunId, i64)) -> Vec<LogLine> {
        let mut lines = self.lines.clone();
        let Some(end) = &self.end else { return lines };
        let (left_out, rest) = end.lines();
        let mut number = self.number;
        if 0 < left_out {
            number += left_out;
            let at = rest.front().map_or(Timestamp::UNIX_EPOCH, |(at, _, _)| *at);
            let text = format!("… {left_out} lines left out …");
            lines.push(row(of, number, at, Stream::Log, &text));
        }
        for (at, stream, text) in rest {
            number += 1;
            lines.push(row(of, number, at, stream, &text));
        }
        lines
    }

    /// Forgets lines up to this number: they are in the table.
    pub(super) fn written(&mut self, upto: i64) {
        self.lines.retain(|line| upto < line.line);
    }
}

impl End {
    fn add(&mut self, at: Timestamp, stream: Stream, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.pieces.back_mut() {
            Some(last)
                if last.stream == stream
                    && last.text.len() + bytes.len() <= PIECE_BYTES
                    && at.duration_since(last.at).abs() < ONE_PIECE =>
            {
                last.text.extend_from_slice(bytes);
            }
            _ => {
                self.bytes += LINE_COST;
                let text = bytes.to_vec();
                self.pieces.push_back(Piece { stream, at, text });
            }
        }
        while let Some(first) = self.pieces.front()
            && PART_BYTES <= self.bytes - first.text.len() - LINE_COST
        {
            self.bytes -= first.text.len() + LINE_COST;
            self.left_out += count(&first.text);
            self.torn[first.stream as usize] = !first.text.ends_with(b"\n");
            self.pieces.pop_front();
        }
    }

    /// How many lines were left out, and those that are kept.
    fn lines(&self) -> (i64, VecDeque<(Timestamp, Stream, String)>) {
        let mut left_out = self.left_out;
        let mut lines: VecDeque<(Timestamp, Stream, String)> = VecDeque::new();
        let mut bytes = 0;
        let mut held: [(Timestamp, Vec<u8>); 3] = Default::default();
        let mut tell = |at: Timestamp, stream: Stream, text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            let text = text.trim_end_matches('\r').to_owned();
            bytes += LINE_COST + text.len();
            lines.push_back((at, stream, text));
            while PART_BYTES < bytes
                && let Some((_, _, text)) = lines.pop_front()
            {
                bytes -= LINE_COST + text.len();
                left_out += 1;
            }
        };
        for (stream, torn) in Stream::ALL.into_iter().zip(self.torn) {
            if torn {
                held[stream as usize].1.extend_from_slice("…".as_bytes());
            }
        }
        for piece in &self.pieces {
            let (held_at, held) = &mut held[piece.stream as usize];
            *held_at = piece.at;
            for part in piece.text.split_inclusive(|byte| *byte == b'\n') {
                let mut rest = part.strip_suffix(b"\n").unwrap_or(part);
                while !rest.is_empty() {
                    if LINE_BYTES_MAX <= held.len() {
                        tell(piece.at, piece.stream, held);
                        held.clear();
                    }
                    let (now, later) = rest.split_at(rest.len().min(LINE_BYTES_MAX - held.len()));
                    held.extend_from_slice(now);
                    rest = later;
                }
                if part.ends_with(b"\n") {
                    tell(piece.at, piece.stream, held);
                    held.clear();
                }
            }
        }
        for (stream, (at, held)) in Stream::ALL.into_iter().zip(&held) {
            if !held.is_empty() && held != "…".as_bytes() {
                tell(*at, stream, held);
            }
        }
        (left_out, lines)
    }
}

fn row(
    (run, attempt): (RunId, i64),
    line: i64,
    at: Timestamp,
    stream: Stream,
    text: &str,
) -> LogLine {
    LogLine {
        run,
        attempt,
        line,
        at,
        stream: match stream {
            Stream::Log => "log",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
        .to_owned(),
        // PostgreSQL's text holds every character but this one.
        text: text.replace('\0', "\u{fffd}"),
    }
}

fn count(text: &[u8]) -> i64 {
    i64::try_from(memchr::memchr_iter(b'\n', text).count()).unwrap_or(i64::MAX)
}

/// A line's beginning, at a character's end.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LINE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn of() -> (RunId, i64) {
        (RunId(uuid::Uuid::nil()), 1)
    }

    /// The log as it is in the end: text by number.
    fn texts(log: &RunLog) -> Vec<(i64, String)> {
        let lines = log.all(of()).into_iter();
        lines.map(|line| (line.line, line.text)).collect()
    }

    #[test]
    fn a_short_log_is_whole() {
        let mut log = RunLog::default();
        for n in 1..=1000 {
            log.line(of(), AT, Stream::Log, &format!("line {n}"));
        }
        assert!(!log.is_full());
        let expected: Vec<_> = (1..=1000).map(|n| (n, format!("line {n}"))).collect();
        assert_eq!(texts(&log), expected);
    }

    #[test]
    fn a_long_log_keeps_both_ends_and_counts_what_lay_between() {
        let mut log = RunLog::default();
        for n in 1..=100_000 {
            log.line(of(), AT, Stream::Stdout, &format!("line {n}"));
        }
        let texts = texts(&log);
        let held = texts
            .iter()
            .position(|(_, text)| text == HELD_BACK)
            .unwrap();
        assert_eq!(texts[held - 1].1, format!("line {held}"));
        let (number, marker) = &texts[held + 1];
        let left_out = 100_000 - held as i64 - (texts.len() - held - 2) as i64;
        assert_eq!(*marker, format!("… {left_out} lines left out …"));
        assert_eq!(*number, texts[held].0 + left_out);
        // Behind the marker each line has the number it would have had, and the notice.
        assert_eq!(texts.last().unwrap(), &(100_001, "line 100000".to_owned()));
        let bytes: usize = texts.iter().map(|(_, text)| text.len() + LINE_COST).sum();
        assert!(bytes <= LOG_BYTES_MAX + 1024, "{bytes}");
        assert!(LOG_BYTES_MAX - 4096 < bytes, "{bytes}");
    }

    #[test]
    fn a_bite_is_bounded_by_lines_and_by_what_they_cost() {
        assert_eq!(bite(&[]), 0);
        let lines = |count, bytes| {
            let line = row(of(), 1, AT, Stream::Log, &"x".repeat(bytes));
            vec![line; count]
        };
        assert_eq!(bite(&lines(1999, 0)), 1999);
        assert_eq!(bite(&lines(5000, 0)), LINES_AT_ONCE);
        assert_eq!(bite(&lines(500, 8000)), BYTES_AT_ONCE / (8000 + LINE_COST));
        assert_eq!(bite(&lines(2, BYTES_AT_ONCE)), 1);
    }

    #[test]
    fn what_follows_the_beginning_is_held_until_the_end() {
        let mut log = RunLog::default();
        while !log.is_full() {
            log.line(of(), AT, Stream::Log, &"x".repeat(1000));
        }
        while let Some(last) = log.next().last() {
            log.written(last.line);
        }
        log.piece(AT, Stream::Stderr, b"half of ");
        log.piece(AT, Stream::Stdout, b"out\n");
        log.piece(AT, Stream::Stderr, b"a line\nthe end");
        assert!(log.next().is_empty());
        let texts: Vec<String> = texts(&log).into_iter().map(|(_, text)| text).collect();
        // The first is the line by which the beginning was full.
        assert_eq!(texts[1..], ["out", "half of a line", "the end"]);
    }

    #[test]
    fn pieces_are_counted_and_a_torn_line_says_so() {
        let mut log = RunLog::default();
        while !log.is_full() {
            log.line(of(), AT, Stream::Log, &"x".repeat(8000));
        }
        let piece = "y\n".repeat(10_000) + "tear";
        let mut lines = 1;
        for _ in 0..100 {
            log.piece(AT, Stream::Stdout, piece.as_bytes());
            lines += 10_000;
        }
        let texts = texts(&log);
        let shown = texts
            .iter()
            .filter(|(_, text)| text == "y" || text == "teary");
        let shown = shown.count() as i64;
        let marker = texts
            .iter()
            .find(|(_, text)| text.contains("left out"))
            .unwrap();
        assert_eq!(marker.1, format!("… {} lines left out …", lines - shown));
        assert_eq!(texts.last().unwrap().1, "tear");

        let mut log = RunLog::default();
        while !log.is_full() {
            log.line(of(), AT, Stream::Log, "x");
        }
        log.piece(AT, Stream::Stderr, b"gone, and then one");
        for _ in 0..10 {
            log.piece(AT, Stream::Stdout, &[b'z'; 64 << 10]);
        }
        log.piece(AT, Stream::Stderr, b" more\n");
        assert_eq!(
            log.all(of())
                .into_iter()
                .find(|line| line.stream == "stderr")
                .unwrap()
                .text,
            "… more"
        );
    }
}
