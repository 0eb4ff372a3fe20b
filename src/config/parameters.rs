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
#[derive(Debug)]
pub struct Given {
    pub name: String,
    /// A text, a number or a truth value.
    pub value: Value,
    /// The same as text, where nobody is to see it.
    pub secret: Option<Secret>,
}

impl Given {
    /// The value as text.
    pub fn text(&self) -> String {
        text(&self.value)
    }
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
            let value = given.get(name).map(|value| sealed::opened(value));
            let Some(value) = value.or(accepted.default.as_ref()) else {
                if accepted.required {
                    return Err(wrong(name, format!("{of} needs it, and it was not given")));
                }
                continue;
            };
            accepted.check(value).map_err(|what| wrong(name, what))?;
            values.push(Given {
                name: name.clone(),
                secret: accepted.secret.then(|| Secret::new(text(value))),
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
            bail!("{setting}: {} names; expected at most {NAMES_MAX}", self.0.len());
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
            return Err(format!("{} bytes; expected at most {VALUE_MAX}", text.len()));
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
mod tests {
    use serde_json::json;

    use super::*;

    fn accepts(written: Value) -> anyhow::Result<Accepts> {
        let accepts: Accepts = serde_json::from_value(written)?;
        accepts.check("accepts")?;
        Ok(accepts)
    }

    fn map(values: Value) -> Map<String, Value> {
        serde_json::from_value(values).unwrap()
    }

    #[test]
    fn names_are_written_as_a_list_or_as_a_table() {
        let list = accepts(json!(["month", "year"])).unwrap();
        assert_eq!(list, accepts(json!({"month": {}, "year": {}})).unwrap());
        for (wrong, says) in [
            (json!(["month", "month"]), "twice"),
            (json!(["Month"]), "no name"),
            (json!(["_m"]), "no name"),
            (json!(["command"]), "another name"),
            (json!({"m": {"pattern": "a)|(b"}}), "accepts.m.pattern"),
            (json!({"m": {"pattern": "a{1000}{1000}"}}), "accepts.m.pattern"),
            (json!({"m": {"secret": true, "default": "x"}}), "accepts.m.default"),
            (json!({"m": {"one_of": ["a"], "default": "b"}}), "accepts.m.default"),
            (json!({"m": {"secrets": true}}), "unknown field"),
            (json!(7), "a list of names"),
        ] {
            let error = format!("{:#}", accepts(wrong.clone()).unwrap_err());
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }

    #[test]
    fn values_are_checked_and_errors_name_the_field_and_never_the_value() {
        let accepts = accepts(json!({
            "month": {"pattern": r"\d{4}-\d\d", "required": true},
            "how": {"one_of": ["fast", "well"], "default": "well"},
            "count": {},
            "key": {"secret": true, "pattern": "k.*"},
        }))
        .unwrap();
        let good = map(json!({"month": "2026-10", "count": 3, "key": {"$secret": "k1"}}));
        let given = accepts.given("it", &good).unwrap();
        let texts: Vec<(&str, String)> = given
            .iter()
            .map(|given| (given.name.as_str(), given.text()))
            .collect();
        let expected = [("count", "3"), ("how", "well"), ("key", "k1"), ("month", "2026-10")];
        assert_eq!(texts, expected.map(|(name, text)| (name, text.to_owned())));
        assert_eq!(given.iter().filter(|given| given.secret.is_some()).count(), 1);
        for (wrong, field) in [
            (json!({}), "month"),
            (json!({"month": "2026-10-1"}), "month"),
            (json!({"month": "2026-10\n"}), "month"),
            (json!({"month": ["2026-10"]}), "month"),
            (json!({"month": "2026-10", "how": "WRONG"}), "how"),
            (json!({"month": "2026-10", "key": "WRONG"}), "key"),
            (json!({"month": "2026-10", "key": "***"}), "key"),
            (json!({"month": "2026-10", "count": "W\0RONG"}), "count"),
            (json!({"month": "2026-10", "count": "WRONG".repeat(1000)}), "count"),
            (json!({"month": "2026-10", "year": "WRONG"}), "year"),
        ] {
            let error = accepts.given("it", &map(wrong.clone())).unwrap_err();
            let error = format!("{error:?} {error}");
            assert!(error.contains(&format!("parameters.{field}")), "{wrong}: {error}");
            assert!(!error.contains("WRONG"), "{error}");
        }
        accepts.check_own("it", &map(json!({"count": true}))).unwrap();
        for own in [json!({"key": "k1"}), json!({"year": 1}), json!({"month": 1})] {
            assert!(accepts.check_own("it", &map(own)).is_err());
        }
    }
}
