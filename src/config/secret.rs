//! Secrets, by reference: a file or a variable, read when they are needed.

use std::{fmt, path::PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::trust;
use crate::host::Question;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    /// A file that nobody else can read; one line end at its end is not part of the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A variable of the server's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
}

/// A secret in hand: it is never shown.
pub struct Secret(String);

impl Secret {
    /// A secret that was handed over.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl SecretSource {
    /// What is in a file.
    pub fn of_file(file: impl Into<PathBuf>) -> Self {
        Self {
            file: Some(file.into()),
            env: None,
        }
    }

    /// What is asked of the host where it is read.
    pub fn question(&self, name: &str) -> Question {
        let what = format!("reading secret {name}");
        match &self.file {
            Some(file) => Question::of_file(file, what),
            None => Question::of("the environment", what),
        }
    }

    /// Reads it; it may block, and hang.
    ///
    /// # Errors
    /// Where it is not there, is empty, or can be read by others; never with what it holds.
    pub fn read(&self) -> anyhow::Result<Secret> {
        let text = match (&self.file, &self.env) {
            (Some(file), None) => trust::read_secret(file, "secret file")?,
            (None, Some(name)) => {
                let value = super::variable(name).and_then(|value| value.into_string().ok());
                value.with_context(|| format!("the variable {name} holds no secret"))?
            }
            _ => bail!("a secret has either a file or an env"),
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if text.is_empty() {
            bail!("the secret is empty");
        }
        Ok(Secret(text.to_owned()))
    }
}
