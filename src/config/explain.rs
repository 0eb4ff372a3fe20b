//! What is in force and from where: `watchbell config`.

use std::fmt::Write as _;

use figment::{Figment, value::Value};

use super::raw::{self, Flags};

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
            _ => metadata.name.to_string(),
        },
    );
    let _ = writeln!(text, "{path} = {}  # {from}", shown(path, value));
}

fn shown(path: &str, value: &Value) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    let secret_like = [
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
    let name = last.to_ascii_lowercase().replace(['-', '_'], "");
    let hidden = MASKED.contains(&last)
        || (path != "secrets"
            && !path.starts_with("secrets.")
            && secret_like.iter().any(|word| name.contains(word))
            && !path.contains("secret_headers"));
    if hidden {
        return "\"***\"".to_owned();
    }
    match value {
        Value::String(_, text) if text.contains("://") => format!("{:?}", without_password(text)),
        Value::Dict(..) => "{…}".to_owned(),
        value => serde_json::to_string(value).unwrap_or_else(|_| "?".to_owned()),
    }
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
