//! What is wrong with the text of the settings: which one, where it was written and what was expected,
//! and nothing that may be a secret.

use figment::error::{Actual, Error, Kind};

use super::explain::{argument, printable};

/// Settings in which, or below which, a secret may have been written, by mistake or not.
const MAY_HOLD_SECRETS: [&str; 4] = ["database", "commands", "http_requests", "secrets"];

/// A line for each wrong setting.
pub(super) fn refusal(errors: Error) -> anyhow::Error {
    let lines: Vec<String> = errors
        .into_iter()
        .map(|error| format!("  {}", printable(&without_secret(error).to_string())))
        .collect();
    anyhow::anyhow!("the configuration is wrong:\n{}", lines.join("\n"))
}

fn without_secret(mut error: Error) -> Error {
    let setting = error.path.first().map_or("", String::as_str);
    let may_hold_secrets = MAY_HOLD_SECRETS.contains(&setting);
    // Where `NAME=value` was written for a key, that is the key.
    error.path = error.path.iter().map(|key| argument(key)).collect();
    error.kind = match error.kind {
        Kind::UnknownField(name, known) => Kind::UnknownField(argument(&name), known),
        Kind::Message(text) => Kind::Message(without_source(&text)),
        Kind::InvalidType(found, expected) if may_hold_secrets => {
            Kind::InvalidType(shape(&found), expected)
        }
        Kind::InvalidValue(found, expected) if may_hold_secrets => {
            Kind::InvalidValue(shape(&found), expected)
        }
        kind => kind,
    };
    error
}

/// The parser shows the line of the file at which it stopped, with whatever else stands in it.
fn without_source(text: &str) -> String {
    let is_source = |line: &&str| {
        let gutter = line
            .trim_start()
            .trim_start_matches(|c: char| c.is_ascii_digit());
        gutter.trim_start().starts_with('|')
    };
    let told: Vec<&str> = text.lines().filter(|line| !is_source(line)).collect();
    told.join(": ")
}

/// What kind of value was found, and not which.
fn shape(found: &Actual) -> Actual {
    let word = match found {
        Actual::Str(_) | Actual::Char(_) => "a string",
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        other => return other.clone(),
    };
    Actual::Other(word.to_owned())
}
