//! What a command writes, line by line, in bounded memory.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::engine::Stream;

/// A line longer than this is passed on in parts.
const LINE_MAX: usize = 8 << 10;

/// Reads both to their ends.
pub(super) async fn read_both<Out, Err>(
    out: Option<Out>,
    err: Option<Err>,
    line: impl Fn(Stream, &str),
) where
    Out: AsyncRead + Unpin,
    Err: AsyncRead + Unpin,
{
    let stdout = async {
        if let Some(out) = out {
            read_lines(out, |text| line(Stream::Stdout, text)).await;
        }
    };
    let stderr = async {
        if let Some(err) = err {
            read_lines(err, |text| line(Stream::Stderr, text)).await;
        }
    };
    tokio::join!(stdout, stderr);
}

async fn read_lines(mut from: impl AsyncRead + Unpin, line: impl Fn(&str)) {
    let mut held: Vec<u8> = Vec::new();
    let mut buffer = vec![0; LINE_MAX];
    // An error of the pipe is its end: there is nothing more to read.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        for part in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            held.extend_from_slice(part);
            if part.ends_with(b"\n") || LINE_MAX <= held.len() {
                line(&text(&held));
                held.clear();
            }
        }
    }
    if !held.is_empty() {
        line(&text(&held));
    }
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_long_ones_in_parts() {
        let said = Mutex::new(Vec::new());
        let long = "x".repeat(20_000);
        let input = format!("one\r\ntwo\n{long}\nlast");
        read_lines(input.as_bytes(), |line| {
            said.lock().unwrap().push(line.to_owned())
        })
        .await;
        let said = said.into_inner().unwrap();
        assert_eq!(&said[..2], ["one", "two"]);
        assert_eq!(said.last().unwrap(), "last");
        assert_eq!(said[2..said.len() - 1].concat(), long);
    }
}
