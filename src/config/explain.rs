//! What is in force and from where: `watchbell config`.

use std::fmt::Write as _;

use figment::{
    Figment,
    providers::{Format as _, Toml},
    value::Value,
};

use super::{
    raw::{self, Flags},
    redact::Masker,
};

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

/// The text of a configuration file without what only its reader is to know, and without its comments, which nobody has
/// looked through.
///
/// # Errors
/// Where it is not the text of one.
pub fn without_secrets(text: &str) -> anyhow::Result<String> {
    let all: Value = Figment::from(Toml::string(text)).extract()?;
    let mut secrets = Vec::new();
    collect("", &all, &mut secrets);
    let masker = Masker::new(secrets.iter().map(String::as_str));
    let lines = text.lines();
    let lines = lines.filter(|line| !line.trim_start().starts_with('#'));
    let mut bare = String::from("# Without secrets and comments.\n");
    for line in lines {
        bare.push_str(line);
        bare.push('\n');
    }
    Ok(masker.text(&bare))
}

/// Texts that [`shown`] hides.
fn collect(path: &str, value: &Value, secrets: &mut Vec<String>) {
    match value {
        Value::Dict(_, dict) => {
            for (key, value) in dict {
                collect(&format!("{path}.{key}"), value, secrets);
            }
        }
        Value::Array(_, values) => {
            let mut hides_next = false;
            for value in values {
                let word = value.as_str().unwrap_or_default();
                if hides_next {
                    secrets.push(word.to_owned());
                }
                hides_next = word.starts_with('-') && !word.contains('=') && is_secret_like(word);
                collect(path, value, secrets);
            }
        }
        Value::String(_, text) => {
            let path = path.trim_start_matches('.');
            if is_hidden(path) {
                secrets.push(text.clone());
                // A text of several lines stands there as it is, and not in one piece. What is shorter is no secret, and
                // would be found everywhere.
                let lines = text.lines().map(str::trim);
                secrets.extend(lines.filter(|line| 4 <= line.len()).map(str::to_owned));
            }
            if let Some((name, value)) = text.split_once('=')
                && is_secret_like(name)
            {
                secrets.push(value.to_owned());
            }
            secrets.extend(password_in(text));
        }
        _ => {}
    }
}

/// What a URL has between its user and its host, and what it asks for.
fn password_in(text: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once("://") else {
        return Vec::new();
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut found = Vec::new();
    if let Some((login, _)) = rest.rsplit_once('@')
        && let Some((_, password)) = login.split_once(':')
    {
        found.push(password.to_owned());
    }
    let asked = query.split('&').filter_map(|pair| pair.split_once('='));
    found.extend(
        asked
            .filter(|(name, _)| is_secret_like(name))
            .map(|(_, value)| value.to_owned()),
    );
    found
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
    if is_hidden(path) {
        return "\"***\"".to_owned();
    }
    match value {
        Value::String(_, text) if text.contains("://") => format!("{:?}", without_password(text)),
        Value::Dict(..) => "{…}".to_owned(),
        Value::Array(_, words) if last == "argv" => arguments(words),
        value => serde_json::to_string(value).unwrap_or_else(|_| "?".to_owned()),
    }
}

fn is_hidden(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    MASKED.contains(&last)
        || (path != "secrets"
            && !path.starts_with("secrets.")
            && is_secret_like(last)
            && !path.contains("secret_headers"))
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
    fn a_file_is_told_without_its_secrets_and_comments() {
        let file = r#"
# the old password was hunter2
database = "postgres://ada:s3cret@db/watchbell?sslpassword=0ther"
[secrets.mail]
file = "/etc/watchbell/mail"
[commands.sync]
argv = ["/bin/x", "--token", "t0ken", "--password=pa55", "plain"]
environment = { API_KEY = "k3y", HOME = "/srv" }
stdin = """
line one
line two
"""
"#;
        let told = without_secrets(file).unwrap();
        for secret in [
            "hunter2", "s3cret", "0ther", "t0ken", "pa55", "k3y", "line one",
        ] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
        for rest in [
            "ada:***@db",
            "/etc/watchbell/mail",
            "plain",
            "/srv",
            "[commands.sync]",
        ] {
            assert!(told.contains(rest), "{rest}: {told}");
        }
        assert!(without_secrets("no = = toml").is_err());
    }

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
