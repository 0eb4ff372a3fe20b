//! Lines of a run's log, and how several of one attempt are kept as one piece.

use jiff::Timestamp;

use super::RunId;

/// Lines of one chunk at the most, and the bytes at which no more are taken: a chunk is read, and while its last line is the
/// log's written anew, as a whole.
pub const CHUNK_LINES: i64 = 128;
pub const CHUNK_BYTES: usize = 8 << 10;

/// Where a log line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Log,
    Stdout,
    Stderr,
}

impl Stream {
    pub const ALL: [Self; 3] = [Self::Log, Self::Stdout, Self::Stderr];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The stream of that name; one that a newer version may know is the log.
    pub fn named(name: &str) -> Self {
        let named = Self::ALL.into_iter().find(|stream| stream.as_str() == name);
        named.unwrap_or(Self::Log)
    }
}

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub attempt: i64,
    pub line: i64,
    pub at: Timestamp,
    pub stream: Stream,
    pub text: String,
}

/// Lines of one attempt whose numbers follow each other, in few bytes: of each line how much later it is than the one before
/// it, its stream, its length and its text. Numbers are of seven bits a byte, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    pub run: RunId,
    pub attempt: i64,
    /// Number of the first line.
    pub line: i64,
    /// How many there are.
    pub lines: i64,
    pub body: Vec<u8>,
    last_at: i64,
}

/// A chunk whose bytes are none that [`LogChunk`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk of a run's log is damaged")]
pub struct Torn;

impl LogChunk {
    pub fn new((run, attempt): (RunId, i64), line: i64) -> Self {
        Self {
            run,
            attempt,
            line,
            lines: 0,
            body: Vec::new(),
            last_at: 0,
        }
    }

    /// Whether it takes a line of this number and length.
    pub fn takes(&self, line: i64, bytes: usize) -> bool {
        let fits = self.lines < CHUNK_LINES && self.body.len() + bytes <= CHUNK_BYTES;
        line == self.after() && (self.lines == 0 || fits)
    }

    pub fn push(&mut self, at: Timestamp, stream: Stream, text: &str) {
        let at = at.as_microsecond();
        let later = at.wrapping_sub(self.last_at);
        self.last_at = at;
        // The lowest bit is the sign: what is little later or earlier is short.
        put(
            &mut self.body,
            ((later << 1) ^ (later >> 63)).cast_unsigned(),
        );
        self.body.push(stream as u8);
        put(&mut self.body, text.len() as u64);
        self.body.extend_from_slice(text.as_bytes());
        self.lines += 1;
    }

    /// The number of the line that would be next.
    pub fn after(&self) -> i64 {
        self.line + self.lines
    }

    /// The lines behind this number.
    ///
    /// # Errors
    /// Where its bytes are none of a chunk.
    pub fn read_after(&self, line: i64) -> Result<Vec<LogLine>, Torn> {
        let mut rest = self.body.as_slice();
        let mut lines = Vec::new();
        let mut at = 0_i64;
        for number in self.line..self.after() {
            let later = take(&mut rest)?;
            at = at.wrapping_add((later >> 1).cast_signed() ^ -(later & 1).cast_signed());
            let (stream, text) = rest.split_first().ok_or(Torn)?;
            rest = text;
            let length = usize::try_from(take(&mut rest)?).map_err(|_| Torn)?;
            let (text, others) = rest.split_at_checked(length).ok_or(Torn)?;
            rest = others;
            if number <= line {
                continue;
            }
            lines.push(LogLine {
                attempt: self.attempt,
                line: number,
                at: Timestamp::from_microsecond(at).map_err(|_| Torn)?,
                stream: *Stream::ALL
                    .get(usize::from(*stream))
                    .unwrap_or(&Stream::Log),
                text: std::str::from_utf8(text).map_err(|_| Torn)?.to_owned(),
            });
        }
        match rest {
            [] => Ok(lines),
            _ => Err(Torn),
        }
    }

    /// A chunk of these lines alone: those behind this number.
    pub fn behind(&self, line: i64) -> Self {
        if line < self.line {
            return self.clone();
        }
        let mut rest = Self::new((self.run, self.attempt), line + 1);
        // What was made here is no damaged one.
        for line in self.read_after(line).unwrap_or_default() {
            rest.push(line.at, line.stream, &line.text);
        }
        rest
    }
}

/// A chunk as it was kept.
impl From<(RunId, i64, i64, i64, Vec<u8>)> for LogChunk {
    fn from((run, attempt, line, lines, body): (RunId, i64, i64, i64, Vec<u8>)) -> Self {
        Self {
            run,
            attempt,
            line,
            lines,
            body,
            last_at: 0,
        }
    }
}

fn put(into: &mut Vec<u8>, mut number: u64) {
    while 0x80 <= number {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn take(from: &mut &[u8]) -> Result<u64, Torn> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first().ok_or(Torn)?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Torn)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OF: (RunId, i64) = (RunId(uuid::Uuid::nil()), 2);

    fn line(number: i64, at: i64, stream: Stream, text: &str) -> LogLine {
        LogLine {
            attempt: 2,
            line: number,
            at: Timestamp::from_microsecond(at).unwrap(),
            stream,
            text: text.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            lines in proptest::collection::vec((-9_000_000_000_000_000_i64..200_000_000_000_000_000, 0..3_usize, ".{0,40}"), 0..200),
            after in -2_i64..210,
        ) {
            let mut chunk = LogChunk::new(OF, 5);
            let mut expected = Vec::new();
            for (number, (at, stream, text)) in (5..).zip(&lines) {
                let line = line(number, *at, Stream::ALL[*stream], text);
                chunk.push(line.at, line.stream, text);
                expected.push(line);
            }
            expected.retain(|line| after < line.line);
            prop_assert_eq!(chunk.read_after(after), Ok(expected.clone()));
            prop_assert_eq!(chunk.behind(after).read_after(i64::MIN), Ok(expected));
        }

        #[test]
        fn what_is_no_chunk_is_refused_without_a_panic(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            lines in 0..200_i64,
        ) {
            let _ = LogChunk::from((OF.0, 1, 1, lines, body)).read_after(0);
        }
    }

    #[test]
    fn a_chunk_takes_lines_in_a_row_and_up_to_its_bounds() {
        let mut chunk = LogChunk::new(OF, 1);
        assert!(chunk.takes(1, 1 << 20), "one line, however long");
        chunk.push(Timestamp::UNIX_EPOCH, Stream::Log, &"x".repeat(CHUNK_BYTES));
        assert!(!chunk.takes(2, 1));
        let mut chunk = LogChunk::new(OF, 1);
        for number in 1..=CHUNK_LINES {
            assert!(chunk.takes(number, 1) && !chunk.takes(number + 1, 1));
            chunk.push(Timestamp::UNIX_EPOCH, Stream::Log, "");
        }
        assert!(!chunk.takes(CHUNK_LINES + 1, 0));
    }

    #[test]
    fn a_line_costs_a_few_bytes_besides_its_text() {
        let mut chunk = LogChunk::new(OF, 1);
        let first = 1_700_000_000_000_000;
        for number in 0..100 {
            let at = Timestamp::from_microsecond(first + number * 900).unwrap();
            chunk.push(at, Stream::Stdout, "");
        }
        assert!(chunk.body.len() < 100 * 5 + 10, "{}", chunk.body.len());
    }
}
