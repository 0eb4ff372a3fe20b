//! Values that a command or a request accepts from whoever triggers its task.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, bail};
use regex_automata::{meta, util::syntax};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::Secret;
use crate::{
    domain::sealed,
    error::{Error, Result},
};

/// Names at most, of one command or request.
const NAMES_MAX: usize = 32;
/// Characters of a name.
const NAME_MAX: usize = 64;
/// Bytes of a value.
const VALUE_MAX: usize = 4 << 10;
/// Bytes of memory that a pattern may need.
const PATTERN_SIZE: usize = 1 << 20;
/// Names by which a task says what it runs.
const TAKEN: [&str; 2] = ["command", "request"];

/// The names that are accepted, and what is expected of each. Written as a list of names, or as a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Accepts(BTreeMap<String, Accepted>);

/// What is expected of one value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Accepted {
    /// Whether a run without it is refused; a task with a schedule then has it among its own parameters.
    pub required: bool,
    /// Whether nobody is shown it: it is masked in the run, in its log and in errors.
    pub secret: bool,
    /// Value where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Regular expression that the whole value matches; `.` and classes such as `\d` are of ASCII.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The values there are; empty for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
}

/// A value that was given, or stands for one that was not.
pub struct Given {
    pub name: String,
    /// A text, a number or a truth value.
    pub value: Value,
    /// The same as text, where nobody is to see it.
    pub secret: Option<Secret>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the value: it may be a secret.
        f.debug_struct("Given")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Given {
    /// The value as text.
    pub fn text(&self) -> String {
        text(&self.value)
    }
}

/// Values as a JSON object.
pub fn as_json(given: &[Given]) -> Value {
    let pairs = given.iter();
    Value::Object(
        pairs
            .map(|given| (given.name.clone(), given.value.clone()))
            .collect(),
    )
}

impl Accepts {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names whose values nobody is shown.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let secret = self.0.iter().filter(|(_, accepted)| accepted.secret);
        secret.map(|(name, _)| name.as_str())
    }

    /// The values of one run: those given, checked, and defaults for others. `of` says whose they are.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field below `parameters`; never with a secret.
    pub fn given(&self, of: &str, given: &Map<String, Value>) -> Result<Vec<Given>> {
        self.check_names(of, given)?;
        let mut values = Vec::new();
        for (name, accepted) in &self.0 {
            // Also where it was a secret when the run was queued, and is none any more.
            let secret = accepted.secret || given.get(name).is_some_and(sealed::is_sealed);
            let value = given.get(name).map(sealed::opened);
            let Some(value) = value.or(accepted.default.as_ref()) else {
                if accepted.required {
                    return Err(wrong(name, format!("{of} needs it, and it was not given")));
                }
                continue;
            };
            accepted.check(value).map_err(|what| wrong(name, what))?;
            values.push(Given {
                name: name.clone(),
                secret: secret.then(|| Secret::new(text(value))),
                value: value.clone(),
            });
        }
        Ok(values)
    }

    /// Checks the parameters that a task has of its own, which stand for what a trigger does not give.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field below `parameters`.
    pub fn check_own(&self, of: &str, own: &Map<String, Value>) -> Result<()> {
        self.check_names(of, own)?;
        for (name, value) in own {
            let Some(accepted) = self.0.get(name) else {
                continue;
            };
            if accepted.secret {
                let what = "it is a secret, and a task's parameters are shown: give it with each trigger, or \
                            keep it under [secrets]";
                return Err(wrong(name, what.to_owned()));
            }
            accepted.check(value).map_err(|what| wrong(name, what))?;
        }
        Ok(())
    }

    fn check_names(&self, of: &str, given: &Map<String, Value>) -> Result<()> {
        let Some(name) = given.keys().find(|name| !self.0.contains_key(*name)) else {
            return Ok(());
        };
        let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let accepted = match known.as_slice() {
            [] => "no parameters".to_owned(),
            known => known.join(", "),
        };
        let shown: String = name.chars().take(NAME_MAX).collect();
        Err(wrong(&shown, format!("{of} accepts {accepted}")))
    }

    /// Checks what is written, by its setting's name.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub(super) fn check(&self, setting: &str) -> anyhow::Result<()> {
        if NAMES_MAX < self.0.len() {
            bail!(
                "{setting}: {} names; expected at most {NAMES_MAX}",
                self.0.len()
            );
        }
        for (name, accepted) in &self.0 {
            let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !name.starts_with(|c: char| c.is_ascii_lowercase())
                || !name.chars().all(rest)
                || NAME_MAX < name.len()
            {
                bail!(
                    "{setting}: {name:?} is no name of a parameter; expected one such as month, of a-z, 0-9 and \
                     _, at most {NAME_MAX}"
                );
            }
            if TAKEN.contains(&name.as_str()) {
                bail!("{setting}: {name} is how a task says what it runs; choose another name");
            }
            let at = format!("{setting}.{name}");
            if let Some(pattern) = &accepted.pattern {
                compiled(pattern).with_context(|| format!("{at}.pattern"))?;
            }
            match (&accepted.default, accepted.secret) {
                (Some(_), true) => bail!(
                    "{at}.default: a secret has no default, which would stand in the file: see [secrets]"
                ),
                (Some(value), false) => {
                    let checked = accepted.check(value);
                    checked.map_err(|what| anyhow::anyhow!("{at}.default: {what}"))?;
                }
                (None, _) => {}
            }
        }
        Ok(())
    }
}

impl Accepted {
    /// Whether a value is as expected, or what was expected.
    fn check(&self, value: &Value) -> std::result::Result<(), String> {
        let text = match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => text(value),
            _ => return Err("expected a text, a number, or true or false".to_owned()),
        };
        if VALUE_MAX < text.len() {
            return Err(format!(
                "{} bytes; expected at most {VALUE_MAX}",
                text.len()
            ));
        }
        if text.contains('\0') {
            return Err("expected a text without a NUL character".to_owned());
        }
        if self.secret && text == sealed::MASK {
            return Err("expected the secret itself, not its mask".to_owned());
        }
        // What was given is shown nowhere: it may be a secret, or long.
        if !self.one_of.is_empty() && !self.one_of.contains(&text) {
            return Err(format!("expected one of {}", self.one_of.join(", ")));
        }
        if let Some(pattern) = &self.pattern {
            let regex = compiled(pattern).map_err(|error| format!("{error:#}"))?;
            if !regex.is_match(&text) {
                return Err(format!("expected what matches {pattern}"));
            }
        }
        Ok(())
    }
}

/// A value as commands and queries have it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn wrong(name: &str, what: String) -> Error {
    Error::invalid(format!("parameters.{name}"), what)
}

/// A regular expression of whole values.
fn compiled(pattern: &str) -> anyhow::Result<meta::Regex> {
    let compile = |pattern: &str| {
        meta::Regex::builder()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(
                meta::Config::new()
                    .utf8_empty(false)
                    .nfa_size_limit(Some(PATTERN_SIZE)),
            )
            .build(pattern)
            .map_err(|error| anyhow::anyhow!("{pattern:?} is no regular expression: {error}"))
    };
    // By itself first: a parenthesis too many must not lead out of the whole.
    compile(pattern)?;
    compile(&format!(r"\A(?:{pattern})\z"))
}

impl<'de> Deserialize<'de> for Accepts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Written)
    }
}

/// Reads a list or a table.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Accepts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names, or a table of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> std::result::Result<Accepts, A::Error> {
        let mut all = BTreeMap::new();
        while let Some(name) = names.next_element::<String>()? {
            if all.insert(name.clone(), Accepted::default()).is_some() {
                return Err(A::Error::custom(format!("{name} stands twice in the list")));
            }
        }
        Ok(Accepts(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut names: A) -> std::result::Result<Accepts, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((name, accepted)) = names.next_entry()? {
            all.insert(name, accepted);
        }
        Ok(Accepts(all))
    }
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
