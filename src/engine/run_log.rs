//! The log of one attempt in bounded memory: its beginning is written at once, and its end when the attempt
//! ends. What lies between is counted and left out.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::domain::{
    RunId,
    log::{LogChunk, Stream},
};

/// Bytes of log kept of one attempt: half of them of its beginning, half of its end.
pub const LOG_BYTES_MAX: usize = 1 << 20;
const PART_BYTES: usize = LOG_BYTES_MAX / 2;
/// Bytes of one line. Of what a handler says the rest is cut; what a program writes is told in parts.
const LINE_BYTES_MAX: usize = 8 << 10;
/// What a line costs besides its text: empty ones are not free.
const LINE_COST: usize = 64;
/// Bytes of chunks written in one transaction; of an end no more than this are left for the one that records it.
pub(super) const BYTES_AT_ONCE: usize = 256 << 10;
/// What a run may have unwritten before who reads what its command writes waits.
const UNWRITTEN_BYTES: usize = 64 << 10;
/// Lines of the end that were told within so long are kept as one piece, with the time of the last.
const ONE_PIECE: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
const PIECE_BYTES: usize = 16 << 10;

/// Told where the beginning is full. Should the server die, it is the last line, and says what is missing.
const HELD_BACK: &str = "… the log is over 512 KiB: what follows is written when the attempt ends, and of it the last \
                         512 KiB; if the server dies before, it is lost …";

/// How many of these chunks, from the first one on, are written in one transaction that takes so many bytes.
pub(super) fn bite(chunks: &[LogChunk], mut bytes: usize) -> usize {
    let fits = |(at, chunk): &(usize, &LogChunk)| {
        let fits = *at == 0 || chunk.body.len() <= bytes;
        bytes = bytes.saturating_sub(chunk.body.len());
        fits
    };
    chunks.iter().enumerate().take_while(fits).count()
}

/// The lines that are told and not yet written.
#[derive(Debug, Default)]
pub(super) struct RunLog {
    /// Of the beginning. The last stays, as it may take more lines.
    chunks: VecDeque<LogChunk>,
    /// Number of the last line of the beginning, and of the last one that is in the table.
    number: i64,
    written: i64,
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
    pub(super) fn line(&mut self, of: (RunId, i64), at: Timestamp, stream: Stream, text: &str) {
        let text = cut(text);
        if self.end.is_none() && PART_BYTES < self.bytes + LINE_COST + text.len() {
            self.add(of, at, Stream::Log, HELD_BACK);
            self.end = Some(End::default());
        }
        let Some(end) = &mut self.end else {
            self.bytes += LINE_COST + text.len();
            self.add(of, at, stream, text);
            return;
        };
        end.add(at, stream, text.as_bytes());
        end.add(at, stream, b"\n");
    }

    fn add(&mut self, of: (RunId, i64), at: Timestamp, stream: Stream, text: &str) {
        self.number += 1;
        append(&mut self.chunks, of, self.number, (at, stream, text));
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

    /// Whether so much of the beginning waits to be written that no more should come for now.
    pub(super) fn is_behind(&self) -> bool {
        let unwritten: usize = self.unwritten().map(|chunk| chunk.body.len()).sum();
        !self.is_full() && UNWRITTEN_BYTES < unwritten
    }

    /// Whether nothing of the beginning waits to be written.
    pub(super) fn is_written(&self) -> bool {
        self.unwritten().next().is_none()
    }

    fn unwritten(&self) -> impl Iterator<Item = &LogChunk> {
        let written = |chunk: &&LogChunk| chunk.after() <= self.written + 1;
        self.chunks.iter().skip_while(written)
    }

    /// The next chunks of the beginning, up to so many bytes, and whether there are more. They stay until
    /// [`RunLog::written`] says that they are written: whoever ends the attempt meanwhile writes them too, and lines that are
    /// there already stay as they are.
    pub(super) fn next(&self, bytes: usize) -> (Vec<LogChunk>, bool) {
        let mut left = bytes;
        let mut next: Vec<LogChunk> = Vec::new();
        for chunk in self.unwritten() {
            if !next.is_empty() && left < chunk.body.len() {
                return (next, true);
            }
            left = left.saturating_sub(chunk.body.len());
            next.push(chunk.clone());
        }
        (next, false)
    }

    /// Takes all that is not written yet, and the end.
    pub(super) fn all(&mut self, of: (RunId, i64)) -> Vec<LogChunk> {
        let mut chunks: VecDeque<LogChunk> = self.unwritten().cloned().collect();
        self.chunks.clear();
        if let Some(first) = chunks.front_mut() {
            // A line that stands for some of these must not meet those that are in the table.
            *first = first.behind(self.written);
        }
        let Some(end) = self.end.take() else {
            return chunks.into();
        };
        end.lines_into(&mut chunks, of, self.number);
        chunks.into()
    }

    /// Forgets lines up to this number: they are in the table.
    pub(super) fn written(&mut self, upto: i64) {
        self.written = self.written.max(upto);
        while 1 < self.chunks.len()
            && self
                .chunks
                .front()
                .is_some_and(|chunk| chunk.after() <= self.written + 1)
        {
            self.chunks.pop_front();
        }
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

    /// Adds the lines that are kept, behind this number and one that counts those that are not.
    fn lines_into(&self, chunks: &mut VecDeque<LogChunk>, of: (RunId, i64), mut number: i64) {
        // Counted first: of short lines there are many more than are kept.
        let mut cost = 0;
        self.each_line(&mut |_, _, text| cost += LINE_COST + text.len());
        let mut left_out = self.left_out;
        let mut told = false;
        self.each_line(&mut |at, stream, text| {
            if PART_BYTES < cost {
                cost -= LINE_COST + text.len();
                left_out += 1;
                return;
            }
            if !told && 0 < left_out {
                number += left_out;
                let text = format!("… {left_out} lines left out …");
                append(chunks, of, number, (at, Stream::Log, &text));
            }
            told = true;
            number += 1;
            append(chunks, of, number, (at, stream, text));
        });
    }

    /// Tells each line, in order.
    fn each_line(&self, to: &mut dyn FnMut(Timestamp, Stream, &str)) {
        let mut tell = |at: Timestamp, stream: Stream, text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            to(at, stream, text.trim_end_matches('\r'));
        };
        let mut held: [(Timestamp, Vec<u8>); 3] = Default::default();
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
    }
}

/// Adds a line to the last of these chunks, or to a new one.
fn append(
    chunks: &mut VecDeque<LogChunk>,
    of: (RunId, i64),
    number: i64,
    (at, stream, text): (Timestamp, Stream, &str),
) {
    // PostgreSQL's text holds every character but this one, and what was kept as lines has none.
    let text = text.replace('\0', "\u{fffd}");
    match chunks.back_mut() {
        Some(last) if last.takes(number, text.len()) => last.push(at, stream, &text),
        _ => {
            let mut chunk = LogChunk::new(of, number);
            chunk.push(at, stream, &text);
            chunks.push_back(chunk);
        }
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
#[path = "run_log_tests.rs"]
mod tests;
