//! What a command writes: masked, line by line while there is room in its log, and then as it comes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{config::Masker, domain::log::Stream, engine::RunContext};

/// A line longer than this is passed on in parts.
const LINE_MAX: usize = 8 << 10;
/// Bytes read at once, of a command that writes more than its log holds at its beginning.
const MUCH: usize = 64 << 10;
/// Bytes kept of the end of stderr.
const STDERR_END: usize = 4 << 10;
/// Characters of its last line that are told.
const LAST_LINE_MAX: usize = 300;

/// The log of a command; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Output {
    context: RunContext,
    masker: Masker,
    stderr_end: Arc<Mutex<Vec<u8>>>,
}

impl Output {
    pub(super) fn new(context: &RunContext, masker: Masker) -> Self {
        Self {
            context: context.clone(),
            masker,
            stderr_end: Arc::default(),
        }
    }

    /// Reads both to their ends.
    pub(super) async fn read_both<Out, Err>(self, out: Option<Out>, err: Option<Err>)
    where
        Out: AsyncRead + Unpin,
        Err: AsyncRead + Unpin,
    {
        let stdout = async {
            if let Some(out) = out {
                read(out, &self.to(Stream::Stdout), self.masker.clone()).await;
            }
        };
        let stderr = async {
            if let Some(err) = err {
                read(err, &self.to(Stream::Stderr), self.masker.clone()).await;
            }
        };
        tokio::join!(stdout, stderr);
    }

    /// The last line of stderr with anything in it, for people; without control characters, and cut.
    pub(super) fn last_stderr_line(&self) -> Option<String> {
        last_line(
            &self
                .stderr_end
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn to(&self, stream: Stream) -> ToLog<'_> {
        ToLog {
            output: self,
            stream,
        }
    }
}

/// Where what was read goes.
trait Sink {
    /// Whether lines need no longer be told one by one.
    fn is_full(&self) -> bool;
    fn line(&self, text: &str);
    /// Takes bytes as they come, once it is full.
    fn piece(&self, bytes: &[u8]);
    /// Waits while more comes than is kept.
    async fn room(&self) {}
    /// Hears of all bytes, before they go elsewhere.
    fn seen(&self, _bytes: &[u8]) {}
}

struct ToLog<'a> {
    output: &'a Output,
    stream: Stream,
}

impl Sink for ToLog<'_> {
    fn is_full(&self) -> bool {
        self.output.context.log_is_full()
    }

    fn line(&self, text: &str) {
        self.output.context.log_from(self.stream, text);
    }

    fn piece(&self, bytes: &[u8]) {
        self.output.context.log_piece(self.stream, bytes);
    }

    async fn room(&self) {
        self.output.context.log_room().await;
    }

    fn seen(&self, bytes: &[u8]) {
        if self.stream != Stream::Stderr {
            return;
        }
        let end = &self.output.stderr_end;
        let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
        end.extend_from_slice(&bytes[bytes.len().saturating_sub(STDERR_END)..]);
        let over = end.len().saturating_sub(STDERR_END);
        end.drain(..over);
    }
}

async fn read(mut from: impl AsyncRead + Unpin, sink: &impl Sink, mut masker: Masker) {
    let mut held: Vec<u8> = Vec::new();
    let mut buffer = vec![0; LINE_MAX];
    // An error of the pipe is its end: there is nothing more to read.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        match masker.is_needed() {
            true => pass_on(&masker.pass(&buffer[..count]), &mut held, sink),
            false => pass_on(&buffer[..count], &mut held, sink),
        }
        sink.room().await;
        if buffer.len() < MUCH && sink.is_full() {
            buffer.resize(MUCH, 0);
        }
    }
    pass_on(&masker.rest(), &mut held, sink);
    if held.is_empty() {
        return;
    }
    match sink.is_full() {
        true => sink.piece(&held),
        false => sink.line(&text(&held)),
    }
}

/// Passes whole lines on; the beginning of one stays in `held`.
fn pass_on(mut bytes: &[u8], held: &mut Vec<u8>, sink: &impl Sink) {
    sink.seen(bytes);
    while !bytes.is_empty() {
        if sink.is_full() {
            if !held.is_empty() {
                sink.piece(held);
                held.clear();
            }
            sink.piece(bytes);
            return;
        }
        let room = bytes.len().min(LINE_MAX - held.len());
        let end = memchr::memchr(b'\n', &bytes[..room]).map_or(room, |at| at + 1);
        held.extend_from_slice(&bytes[..end]);
        bytes = &bytes[end..];
        if held.ends_with(b"\n") || LINE_MAX <= held.len() {
            sink.line(&text(held));
            held.clear();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches(['\n', '\r']).to_owned()
}

fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    // What a program draws over itself by a carriage return is told as it was last.
    let lines = text.rsplit(['\n', '\r']).map(printable);
    let last = lines.into_iter().find(|line| !line.is_empty())?;
    match last.char_indices().nth(LAST_LINE_MAX) {
        Some((end, _)) => Some(format!("{}…", &last[..end])),
        None => Some(last),
    }
}

/// A line without colours and other control sequences of terminals.
fn printable(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            // Parameters, and then one letter.
            while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {}
            chars.next();
        } else if c == '\t' {
            shown.push(' ');
        } else if !c.is_control() {
            shown.push(c);
        }
    }
    shown.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that is full after some lines.
    struct Kept {
        lines: Mutex<Vec<String>>,
        pieces: Mutex<Vec<u8>>,
        room: usize,
    }

    impl Kept {
        fn of(room: usize) -> Self {
            Self {
                lines: Mutex::default(),
                pieces: Mutex::default(),
                room,
            }
        }
    }

    impl Sink for Kept {
        fn is_full(&self) -> bool {
            self.room <= self.lines.lock().unwrap().len()
        }

        fn line(&self, text: &str) {
            self.lines.lock().unwrap().push(text.to_owned());
        }

        fn piece(&self, bytes: &[u8]) {
            self.pieces.lock().unwrap().extend_from_slice(bytes);
        }
    }

    #[tokio::test]
    async fn lines_come_whole_and_long_ones_in_parts() {
        let kept = Kept::of(usize::MAX);
        let long = "x".repeat(20_000);
        let input = format!("one\r\ntwo\n{long}\nlast");
        read(input.as_bytes(), &kept, Masker::default()).await;
        let said = kept.lines.into_inner().unwrap();
        assert_eq!(&said[..2], ["one", "two"]);
        assert_eq!(said.last().unwrap(), "last");
        assert_eq!(said[2..said.len() - 1].concat(), long);
    }

    #[tokio::test]
    async fn once_the_log_is_full_bytes_are_passed_on_as_they_come() {
        let kept = Kept::of(2);
        read(&b"one\ntwo\nthree\nhalf"[..], &kept, Masker::default()).await;
        assert_eq!(kept.lines.into_inner().unwrap(), ["one", "two"]);
        assert_eq!(kept.pieces.into_inner().unwrap(), b"three\nhalf");
    }

    #[tokio::test]
    async fn a_secret_is_masked_before_lines_are_cut() {
        let long = format!("{}hunter2\nhunter", "x".repeat(LINE_MAX - 3));
        let kept = Kept::of(usize::MAX);
        read(long.as_bytes(), &kept, Masker::new(["hunter2"])).await;
        let said = kept.lines.into_inner().unwrap();
        assert_eq!(
            said.concat(),
            format!("{}***hunter", "x".repeat(LINE_MAX - 3))
        );
    }

    #[test]
    fn the_last_line_is_told_without_what_terminals_read() {
        for (stderr, told) in [
            ("first\nlast\n\n  \n", Some("last")),
            (
                "\u{1b}[31mno\u{1b}[0m \u{7}space\tleft\r\n",
                Some("no space left"),
            ),
            ("10%\r50%\rdisk full", Some("disk full")),
            ("\n\u{1b}[0m\n", None),
            ("", None),
        ] {
            assert_eq!(last_line(stderr.as_bytes()).as_deref(), told, "{stderr:?}");
        }
        let long = last_line("ä".repeat(500).as_bytes()).unwrap();
        assert_eq!(long.chars().count(), LAST_LINE_MAX + 1);
    }
}
