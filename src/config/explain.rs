//! What is in force and from where: `watchbell config`.

use std::fmt::Write as _;

use figment::{Figment, value::Value};

use super::raw::{self, Flags};

/// What names of secrets hold, without their dashes.
const SECRET_LIKE: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "cookie",
];
/// Keys whose values are never shown.
const MASKED: [&str; 2] = ["body", "stdin"];

/// A line for each setting: its value, and where it was written. Secrets are masked.
///
/// # Errors
/// As [`super::Config::load`].
pub fn explain(flags: &Flags) -> anyhow::Result<String> {
    let figment = raw::figment(flags)?;
    super::check::check(&raw::extract(&figment)?)?;
    let mut text = String::new();
    let all: Value = figment.extract()?;
    lines(&figment, "", &all, &mut text);
    Ok(text)
}

fn lines(figment: &Figment, path: &str, value: &Value, text: &mut String) {
    if let Value::Dict(_, dict) = value {
        for (key, value) in dict {
            let below = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            lines(figment, &below, value, text);
        }
        return;
    }
    let from = figment.get_metadata(value.tag()).map_or_else(
        || "default".to_owned(),
        |metadata| match &metadata.source {
            Some(figment::Source::File(file)) => format!("file {}", file.display()),
            _ if metadata.name.contains("Raw") => "default".to_owned(),
            _ if metadata.name.contains("environment") => {
                format!(
                    "variable WATCHBELL_{}",
                    path.to_uppercase().replace('.', "__")
                )
            }
            _ => metadata.name.to_string(),
        },
    );
    let line = format!("{path} = {}  # {from}", shown(path, value));
    let _ = writeln!(text, "{}", printable(&line));
}

fn shown(path: &str, value: &Value) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    let hidden = MASKED.contains(&last)
        || (path != "secrets"
            && !path.starts_with("secrets.")
            && is_secret_like(last)
            && !path.contains("secret_headers"));
    if hidden {
        return "\"***\"".to_owned();
    }
    match value {
        Value::String(_, text) if text.contains("://") => format!("{:?}", without_password(text)),
        Value::Dict(..) => "{…}".to_owned(),
        Value::Array(_, words) if last == "argv" => arguments(words),
        value => serde_json::to_string(value).unwrap_or_else(|_| "?".to_owned()),
    }
}

/// Whether a name speaks of a secret.
fn is_secret_like(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    SECRET_LIKE.iter().any(|word| name.contains(word))
}

/// Arguments of a command, of which some may carry a secret although it is no place for one.
fn arguments(words: &[Value]) -> String {
    let mut hides_next = false;
    let shown: Vec<String> = words
        .iter()
        .map(|word| {
            let word = word.as_str().unwrap_or("?");
            let hidden = hides_next;
            hides_next = word.starts_with('-') && !word.contains('=') && is_secret_like(word);
            match hidden {
                true => "***".to_owned(),
                false => argument(word),
            }
        })
        .collect();
    serde_json::to_string(&shown).unwrap_or_else(|_| "?".to_owned())
}

/// One argument by itself.
pub(super) fn argument(word: &str) -> String {
    match word.split_once('=') {
        Some((name, _)) if is_secret_like(name) => format!("{name}=***"),
        _ if word.contains("://") => without_password(word),
        _ => word.to_owned(),
    }
}

/// A text on one line, with no character that moves the cursor: a key may hold anything.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// A URL as it may be shown.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    // The query may carry a password too.
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let Some((login, host)) = rest.rsplit_once('@') else {
        return format!("{scheme}://{rest}");
    };
    match login.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{host}"),
        None => format!("{scheme}://{login}@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_among_arguments_is_masked() {
        let words = [
            "/bin/x",
            "--password=s3",
            "--api-key",
            "s3",
            "http://a:s3@h/",
            "name=b",
        ];
        let words: Vec<Value> = words.into_iter().map(Value::from).collect();
        assert_eq!(
            arguments(&words),
            r#"["/bin/x","--password=***","--api-key","***","http://a:***@h/","name=b"]"#
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            (
                "postgres://ada:s3cret@db/watchbell",
                "postgres://ada:***@db/watchbell",
            ),
            (
                "postgres://ada:s3@cret@db/watchbell",
                "postgres://ada:***@db/watchbell",
            ),
            (
                "postgres://db/watchbell?password=s3cret",
                "postgres://db/watchbell",
            ),
            ("postgres://ada@db/watchbell", "postgres://ada@db/watchbell"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
