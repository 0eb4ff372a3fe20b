//! The bytes of a register, once it is known that they are UTF-8 as far as the beginning tells.

use std::io::{self, BufRead as _, BufReader, Chain, Cursor, Read};

use super::{Form, RegisterError};

/// A source behind its byte order mark.
pub(super) type Input<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

const BUFFER: usize = 64 * 1024;

/// Skips the mark of UTF-8, and refuses what begins like something else than a file of that form.
///
/// # Errors
/// Where it cannot be read, or is no such file.
pub(super) fn open<R: Read>(form: Form, mut source: R) -> Result<Input<R>, RegisterError> {
    let mut beginning = beginning(&mut source)?;
    if matches!(beginning.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err(refused("the file is UTF-16: save it as UTF-8"));
    }
    if beginning == [0xef, 0xbb, 0xbf] {
        beginning.clear();
    }
    let mut input = BufReader::with_capacity(BUFFER, Cursor::new(beginning).chain(source));
    let first = input.fill_buf()?;
    if first.iter().take(4).any(|&byte| byte == 0) {
        return Err(refused(
            "the file begins with NUL bytes, as UTF-16 does: save it as UTF-8",
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
        _ => Ok(input),
    }
}

/// The first three bytes, or what there is: a read may bring less than was asked for.
fn beginning(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::with_capacity(3);
    source.take(3).read_to_end(&mut beginning)?;
    Ok(beginning)
}

fn refused(reason: &str) -> RegisterError {
    RegisterError::Refused {
        line: 1,
        reason: reason.to_owned(),
    }
}
