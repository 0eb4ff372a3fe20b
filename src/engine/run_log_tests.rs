//! What of a log is kept, in which chunks, and what its end says.

use super::*;
use crate::domain::log::LogLine;

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn of() -> (RunId, i64) {
    (RunId(uuid::Uuid::nil()), 1)
}

fn lines_of(mut log: RunLog) -> Vec<LogLine> {
    let chunks = log.all(of()).into_iter();
    chunks
        .flat_map(|chunk| chunk.read_after(0).unwrap())
        .collect()
}

/// The log as it is in the end: text by number.
fn texts(log: RunLog) -> Vec<(i64, String)> {
    let lines = lines_of(log).into_iter();
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
    assert_eq!(texts(log), expected);
}

#[test]
fn a_long_log_keeps_both_ends_and_counts_what_lay_between() {
    let mut log = RunLog::default();
    for n in 1..=100_000 {
        log.line(of(), AT, Stream::Stdout, &format!("line {n}"));
    }
    let texts = texts(log);
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
fn a_bite_is_bounded_by_bytes() {
    assert_eq!(bite(&[], BYTES_AT_ONCE), 0);
    let chunks = |count, bytes| {
        let mut chunk = LogChunk::new(of(), 1);
        chunk.push(AT, Stream::Log, &"x".repeat(bytes));
        vec![chunk; count]
    };
    assert_eq!(bite(&chunks(3, 10), BYTES_AT_ONCE), 3);
    assert_eq!(bite(&chunks(500, 8000), 80_100), 10);
    assert_eq!(bite(&chunks(2, 2 * BYTES_AT_ONCE), BYTES_AT_ONCE), 1);
}

#[test]
fn the_last_chunk_is_written_anew_as_it_takes_lines_and_each_other_once() {
    let mut log = RunLog::default();
    let mut told = 0;
    let mut written: Vec<LogChunk> = Vec::new();
    for portion in [3, 2, 200, 1] {
        for _ in 0..portion {
            told += 1;
            log.line(of(), AT, Stream::Log, &format!("line {told}"));
        }
        let (next, more) = log.next(BYTES_AT_ONCE);
        assert!(!more);
        log.written(next.last().unwrap().after() - 1);
        written.extend(next);
    }
    let chunks: Vec<(i64, i64)> = written
        .iter()
        .map(|chunk| (chunk.line, chunk.lines))
        .collect();
    assert_eq!(chunks, [(1, 3), (1, 5), (1, 128), (129, 77), (129, 78)]);
    assert!(log.next(BYTES_AT_ONCE).0.is_empty());
    log.line(of(), AT, Stream::Log, "the end");
    // Of what is in the table nothing comes again.
    assert_eq!(texts(log), [(207, "the end".to_owned())]);
}

#[test]
fn who_has_much_unwritten_is_behind_until_it_is_written() {
    let mut log = RunLog::default();
    while !log.is_behind() {
        log.line(of(), AT, Stream::Log, &"x".repeat(1000));
    }
    let (next, more) = log.next(UNWRITTEN_BYTES / 2);
    assert!(
        more && next.iter().map(|chunk| chunk.body.len()).sum::<usize>() <= UNWRITTEN_BYTES / 2
    );
    log.written(next.last().unwrap().after() - 1);
    assert!(!log.is_behind());
}

#[test]
fn what_follows_the_beginning_is_held_until_the_end() {
    let mut log = RunLog::default();
    while !log.is_full() {
        log.line(of(), AT, Stream::Log, &"x".repeat(1000));
    }
    while let Some(last) = log.next(BYTES_AT_ONCE).0.last() {
        log.written(last.after() - 1);
    }
    log.piece(AT, Stream::Stderr, b"half of ");
    log.piece(AT, Stream::Stdout, b"out\n");
    log.piece(AT, Stream::Stderr, b"a line\nthe end");
    assert!(log.next(BYTES_AT_ONCE).0.is_empty());
    let texts: Vec<String> = texts(log).into_iter().map(|(_, text)| text).collect();
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
    let texts = texts(log);
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
        lines_of(log)
            .into_iter()
            .find(|line| line.stream == Stream::Stderr)
            .unwrap()
            .text,
        "… more"
    );
}

#[test]
fn what_stands_for_lines_meets_none_of_those_that_got_there() {
    let mut log = RunLog::default();
    for n in 1..=5000 {
        log.line(of(), AT, Stream::Log, &format!("line {n}"));
    }
    assert!(!log.is_written(), "somebody may be at writing of it");
    let (there, _) = log.next(1);
    let chunks = log.all(of());
    assert!(log.is_written());
    let stands_for = crate::engine::log_end::lost(&chunks);
    let [line] = &stands_for[..] else {
        panic!("{stands_for:?}");
    };
    // A chunk that begins at a number that is taken already would not be written.
    assert!(there.last().unwrap().after() <= line.line);
    assert_eq!((line.line, line.lines), (5000, 1));
}
