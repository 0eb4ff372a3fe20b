//! Writes to standard output, as tables for people or JSON for programs, and shows on standard error
//! that something is awaited.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use prost::{Message, Name};
use watchbell_client::json;

use crate::{
    args::{Color, Format},
    failure::Failure,
    stdout,
    table::Table,
    text::plain,
};

/// Where a command's answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    /// Whether standard output is a terminal.
    terminal: bool,
    colored: bool,
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tint {
    Plain,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Output {
    pub(crate) fn new(format: Format, color: Color) -> Self {
        let terminal = io::stdout().is_terminal();
        let colored = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && colors_wanted(),
        };
        Self {
            format,
            terminal,
            colored,
        }
    }

    /// Writes a line of which every part is safe. Nothing, where its reader has gone: that ends no command.
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        Ok(stdout::show(&format!("{line}\n"))?)
    }

    pub(crate) fn table(&self, table: Table) -> Result<(), Failure> {
        self.line(&table.render(self.terminal, self.colored))
    }

    /// The message as JSON: spread over lines on a terminal, on one line elsewhere.
    pub(crate) fn json<M: Message + Name>(&self, message: &M) -> Result<(), Failure> {
        self.json_text(&json::to_line(message)?)
    }

    /// The message as JSON, with a list beside its fields.
    pub(crate) fn json_with_list<M: Message + Name, L: Message + Name>(
        &self,
        message: &M,
        key: &str,
        items: &[L],
    ) -> Result<(), Failure> {
        let message = json::to_line(message)?;
        let list = json::list_to_line(key, items, "")?;
        let fields = message.strip_suffix('}').unwrap_or(&message);
        let comma = if fields == "{" { "" } else { "," };
        let list = list.strip_prefix('{').unwrap_or(&list);
        self.json_text(&format!("{fields}{comma}{list}"))
    }

    /// A list as JSON, its key there even if it is empty.
    pub(crate) fn json_list<M: Message + Name>(
        &self,
        key: &str,
        items: &[M],
        next_page_token: &str,
    ) -> Result<(), Failure> {
        self.json_text(&json::list_to_line(key, items, next_page_token)?)
    }

    /// The message as a line of JSON, whatever is behind standard output: a stream's.
    pub(crate) fn json_line<M: Message + Name>(&self, message: &M) -> Result<(), Failure> {
        self.line(&json::to_line(message)?)
    }

    pub(crate) fn paint(&self, text: &str, tint: Tint) -> String {
        let code = match tint {
            Tint::Good => "32",
            Tint::Warning => "33",
            Tint::Bad => "31",
            Tint::Faint => "2",
            Tint::Plain => return text.to_owned(),
        };
        if !self.colored {
            return text.to_owned();
        }
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    fn json_text(&self, line: &str) -> Result<(), Failure> {
        if self.terminal {
            self.line(&spread(line))
        } else {
            self.line(line)
        }
    }
}

/// A remark for people, on standard error.
pub(crate) fn remark(text: &str) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(io::stderr(), "{}", plain(text));
}

/// Shows that something is awaited, on standard error, if that is a terminal.
pub(crate) fn spinner(text: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.set_message(plain(text));
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// <https://no-color.org>, and terminals that know none.
fn colors_wanted() -> bool {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    !no_color && !dumb
}

/// Spreads one line of JSON over many without changing the order of its keys.
fn spread(line: &str) -> String {
    let mut text = String::with_capacity(line.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if in_string {
            text.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '{' | '[' if matches!(characters.peek(), Some('}' | ']')) => text.push(character),
            '{' | '[' => {
                depth += 1;
                text.push(character);
                new_line(&mut text, depth);
            }
            '}' | ']' => {
                if !text.ends_with(['{', '[']) {
                    depth = depth.saturating_sub(1);
                    new_line(&mut text, depth);
                }
                text.push(character);
            }
            ',' => {
                text.push(character);
                new_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            other => {
                in_string = other == '"';
                text.push(other);
            }
        }
    }
    text
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spread_without_touching_strings_or_order() {
        let line = r#"{"runs":[{"name":"a{,:\"[","attempt":1},{}],"empty":[],"z":"\\"}"#;
        let text = spread(line);
        assert_eq!(
            text,
            "{\n  \"runs\": [\n    {\n      \"name\": \"a{,:\\\"[\",\n      \"attempt\": 1\n    },\n    \
             {}\n  ],\n  \"empty\": [],\n  \"z\": \"\\\\\"\n}"
        );
        let before: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            before
        );
    }

    #[test]
    fn colors_are_left_out_where_they_are_not_wanted() {
        let plain = Output::new(Format::Table, Color::Never);
        assert_eq!(plain.paint("ok", Tint::Good), "ok");
        let colored = Output::new(Format::Table, Color::Always);
        assert_eq!(colored.paint("ok", Tint::Good), "\u{1b}[32mok\u{1b}[0m");
    }
}
