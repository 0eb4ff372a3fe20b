//! The bytes of a register as UTF-8, once it is known that they begin like one.

use std::io::{BufRead as _, BufReader, Chain, Cursor, Read};

use super::{
    Form, RegisterError,
    encoding::{Decoded, Encoding},
};

/// A source as UTF-8, behind its byte order mark.
pub(super) type Input<R> = BufReader<Chain<Cursor<Vec<u8>>, Text<R>>>;

/// A source as UTF-8. Its first bytes were read to see what it is.
type Text<R> = Decoded<Chain<Cursor<Vec<u8>>, R>>;

const BUFFER: usize = 64 * 1024;
/// How far the beginning is read to find a header.
const HEAD: u64 = 64 * 1024;

/// What a source was found to be.
pub(super) struct Opened<R> {
    pub(super) input: Input<R>,
    pub(super) encoding: Encoding,
    /// The beginning, as UTF-8. The input begins with it.
    pub(super) head: Vec<u8>,
}

/// Skips the byte order mark, and refuses what begins like something else than a file of that form. Where the
/// encoding is not given, the first bytes tell it.
///
/// # Errors
/// Where it cannot be read, or is no such file.
pub(super) fn open<R: Read>(
    form: Form,
    mut source: R,
    given: Option<Encoding>,
) -> Result<Opened<R>, RegisterError> {
    let mut beginning = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut beginning)?;
    if matches!(
        beginning.as_slice(),
        [b'P', b'K', 3, 4] | [0xd0, 0xcf, 0x11, 0xe0]
    ) {
        return Err(refused(
            "the file is a spreadsheet's own, and no CSV: save it as CSV",
        ));
    }
    let encoding = given
        .or_else(|| Encoding::of_beginning(&beginning))
        .unwrap_or_default();
    if beginning.starts_with(encoding.mark()) {
        beginning.drain(..encoding.mark().len());
    }
    let mut text = Decoded::new(Cursor::new(beginning).chain(source), encoding);
    let mut head = Vec::new();
    text.by_ref().take(HEAD).read_to_end(&mut head)?;
    let mut input = BufReader::with_capacity(BUFFER, Cursor::new(head.clone()).chain(text));
    let first = input.fill_buf()?;
    if first.iter().take(4).any(|&byte| byte == 0) {
        return Err(refused(
            "the file begins with NUL bytes: it is no text, or its encoding is another",
        ));
    }
    let first = first.iter().find(|byte| !byte.is_ascii_whitespace());
    match (form, first) {
        (Form::Csv, Some(b'{' | b'[')) => Err(refused(
            "the file begins like JSON; where it holds an object on each line, its form is jsonl",
        )),
        (Form::JsonLines, Some(b'[')) => Err(refused(
            "the file begins with a JSON array: JSON Lines are an object on each line",
        )),
        (Form::JsonLines, Some(&other)) if other != b'{' => Err(refused(
            "the file does not begin with `{`: JSON Lines are an object on each line; where it has a \
             header with columns, its form is csv",
        )),
        _ => Ok(Opened {
            input,
            encoding,
            head,
        }),
    }
}

fn refused(reason: &str) -> RegisterError {
    RegisterError::Refused {
        line: 1,
        reason: reason.to_owned(),
    }
}
