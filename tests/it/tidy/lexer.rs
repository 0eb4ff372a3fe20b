//! Takes Rust apart into tokens and remarks; literals are dropped.

/// A name, a number, `::`, or one other sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The code and the comments of a file.
#[derive(Default)]
pub(super) struct Lexed {
    pub(super) tokens: Vec<Token>,
    /// The comments' lines, one by one.
    pub(super) remarks: Vec<Token>,
}

pub(super) fn lex(text: &str) -> Lexed {
    let mut lexer = Lexer {
        rest: text,
        line: 1,
        lexed: Lexed::default(),
    };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.lexed
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    lexed: Lexed,
}

impl<'a> Lexer<'a> {
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.remark(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.remark(block_comment(rest));
        } else if let Some(length) = raw_string(rest)
            .or_else(|| string(rest))
            .or_else(|| character(rest))
        {
            self.take(length);
        } else if let Some(length) = word(rest) {
            self.token(length);
        } else if rest.starts_with("::") {
            self.token(2);
        } else {
            let sign = rest.chars().next().unwrap_or_default();
            if sign.is_whitespace() {
                self.take(sign.len_utf8());
            } else {
                self.token(sign.len_utf8());
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        taken
    }

    fn token(&mut self, length: usize) {
        let line = self.line;
        let text = self.take(length).trim_start_matches("r#").to_owned();
        self.lexed.tokens.push(Token { line, text });
    }

    fn remark(&mut self, length: usize) {
        let first = self.line;
        let taken = self.take(length);
        let lines = taken.lines().zip(first..);
        self.lexed.remarks.extend(lines.map(|(text, line)| Token {
            line,
            text: text.to_owned(),
        }));
    }
}

/// The length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of `r"…"`, `br#"…"#` and their like, if one starts here.
fn raw_string(rest: &str) -> Option<usize> {
    let body = ["r", "br", "cr"].iter().find_map(|prefix| {
        let body = rest.strip_prefix(prefix)?;
        body.trim_start_matches('#')
            .starts_with('"')
            .then_some(body)
    })?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = &body[hashes + 1..];
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(rest.len() - inside.len() + length)
}

/// The length of `"…"`, `b"…"` or `c"…"`, if one starts here.
fn string(rest: &str) -> Option<usize> {
    let inside = ["\"", "b\"", "c\""]
        .iter()
        .find_map(|start| rest.strip_prefix(start))?;
    Some(rest.len() - inside.len() + quoted(inside, '"'))
}

/// The length of `'…'` or `b'…'`, if one starts here and it is no lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = rest
        .strip_prefix("b'")
        .or_else(|| rest.strip_prefix('\''))?;
    let mut characters = inside.chars();
    let first = characters.next()?;
    let closes = first == '\\' || characters.next() == Some('\'');
    closes.then(|| rest.len() - inside.len() + quoted(inside, '\''))
}

/// The length up to and with the closing `quote`, past escaped ones.
fn quoted(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    inside.len()
}

/// The length of a name, raw ones too, or of a number.
fn word(rest: &str) -> Option<usize> {
    let prefix = if rest.starts_with("r#") { 2 } else { 0 };
    let name = &rest[prefix..];
    let length = name
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(name.len());
    (length > 0).then_some(prefix + length)
}

fn words(text: &str) -> String {
    let texts: Vec<_> = lex(text)
        .tokens
        .into_iter()
        .map(|token| token.text)
        .collect();
    texts.join(" ")
}

#[test]
fn literals_and_comments_are_no_code() {
    assert_eq!(
        words(r#"a("x \" y", b"z", 'q', '\'', b'"', '"') b"#),
        "a ( , , , , , ) b"
    );
    assert_eq!(words("a r\"x\" r#\"y \" z\"# br##\"\"# \"## b"), "a b");
    assert_eq!(words("a /* x /* y */ z */ b // c\nd"), "a b d");
}

#[test]
fn lifetimes_and_raw_names_are_code() {
    assert_eq!(
        words("fn f<'a>(x: &'a r#type) {}"),
        "fn f < ' a > ( x : & ' a type ) { }"
    );
}

#[test]
fn lines_are_counted_through_literals_and_comments() {
    let lexed = lex("a\n\"x\ny\" b /* c\nd */ e");
    let lines: Vec<_> = lexed
        .tokens
        .iter()
        .map(|token| (token.text.as_str(), token.line))
        .collect();
    assert_eq!(lines, [("a", 1), ("b", 3), ("e", 4)]);
    let remarks: Vec<_> = lexed.remarks.iter().map(|remark| remark.line).collect();
    assert_eq!(remarks, [3, 4]);
}
