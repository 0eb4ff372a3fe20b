//! Canonical proto JSON of the messages in [`crate::pb`]: lowerCamelCase names, RFC 3339 times,
//! enums as names, 64-bit integers as strings, unset fields left out.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, MessageDescriptor};

use crate::pb;

static POOL: LazyLock<Result<DescriptorPool, DescriptorError>> =
    LazyLock::new(|| DescriptorPool::decode(pb::DESCRIPTORS));

/// Why a message has no JSON, or JSON is no message.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The descriptors that were compiled in do not hold the message: a fault of this build.
    #[error("no descriptor of {0}")]
    Descriptor(String),
    /// The message and its descriptor disagree: a fault of this build.
    #[error("message does not fit its descriptor")]
    Transcode(#[from] prost::DecodeError),
    /// The text is not JSON, or not of this message: mend it.
    #[error("{0}")]
    Text(#[from] serde_json::Error),
}

/// The message as one line of JSON.
///
/// # Errors
/// Where a value has no JSON, such as a timestamp beyond the year 9999.
pub fn to_line<M: Message + Name>(message: &M) -> Result<String, JsonError> {
    let line = serde_json::to_string(&dynamic(message)?)?;
    Ok(escape_controls(&line))
}

/// A list as one line of JSON with its key always there, so that `.runs[]` works on no runs too.
///
/// # Errors
/// Where a value has no JSON.
pub fn list_to_line<M: Message + Name>(
    key: &str,
    items: &[M],
    next_page_token: &str,
) -> Result<String, JsonError> {
    let items = items.iter().map(to_line).collect::<Result<Vec<_>, _>>()?;
    let mut line = format!("{{{}:[{}]", serde_json::to_string(key)?, items.join(","));
    if !next_page_token.is_empty() {
        line.push_str(",\"nextPageToken\":");
        line.push_str(&serde_json::to_string(next_page_token)?);
    }
    line.push('}');
    Ok(line)
}

/// The message that `text` holds. Both the JSON names and the proto names of fields are accepted.
///
/// # Errors
/// Where the text is not JSON, or has unknown fields, or values of a wrong kind.
pub fn from_text<M: Message + Name + Default>(text: &str) -> Result<M, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(descriptor::<M>()?, &mut deserializer)?;
    deserializer.end()?;
    Ok(dynamic.transcode_to()?)
}

/// The proto names of the fields that the JSON object names at its top, for a field mask.
///
/// # Errors
/// Where the text is not a JSON object.
pub fn field_paths<M: Message + Name>(text: &str) -> Result<Vec<String>, JsonError> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
    let descriptor = descriptor::<M>()?;
    let paths = object.keys().filter_map(|key| {
        descriptor
            .get_field_by_json_name(key)
            .or_else(|| descriptor.get_field_by_name(key))
    });
    Ok(paths.map(|field| field.name().to_owned()).collect())
}

/// Those of the fields `paths` in which `left` and `right` differ.
///
/// # Errors
/// Where this build does not know the message.
pub fn differing_paths<M: Message + Name>(
    paths: Vec<String>,
    left: &M,
    right: &M,
) -> Result<Vec<String>, JsonError> {
    let (left, right) = (dynamic(left)?, dynamic(right)?);
    let differs = |path: &String| left.get_field_by_name(path) != right.get_field_by_name(path);
    Ok(paths.into_iter().filter(differs).collect())
}

fn dynamic<M: Message + Name>(message: &M) -> Result<DynamicMessage, JsonError> {
    let mut dynamic = DynamicMessage::new(descriptor::<M>()?);
    dynamic.transcode_from(message)?;
    Ok(dynamic)
}

fn descriptor<M: Name>() -> Result<MessageDescriptor, JsonError> {
    let name = M::full_name();
    POOL.as_ref()
        .ok()
        .and_then(|pool| pool.get_message_by_name(&name))
        .ok_or(JsonError::Descriptor(name))
}

/// JSON escapes only the controls below U+0020, but a terminal obeys DEL and U+0080 to U+009F too.
/// They stand inside strings only, where an escape means the same.
fn escape_controls(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            '\u{7f}'..='\u{9f}' => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::{
        Fire, ListRunsResponse, PreviewScheduleResponse, Run, RunState, Schedule, Task,
    };

    #[test]
    fn a_preview_is_canonical() {
        let preview = PreviewScheduleResponse {
            fires: vec![Fire {
                nominal_time: Some(prost_types::Timestamp {
                    seconds: 1_772_953_200,
                    nanos: 0,
                }),
                ..Fire::default()
            }],
            next_page_token: String::new(),
        };
        assert_eq!(
            to_line(&preview).unwrap(),
            r#"{"fires":[{"nominalTime":"2026-03-08T07:00:00Z"}]}"#
        );
    }

    #[test]
    fn enums_are_names_and_64_bit_integers_are_strings() {
        let run = Run {
            state: RunState::Succeeded.into(),
            counters: [("documents_activated".to_owned(), 3)].into(),
            attempt: 1,
            version: 4,
            ..Run::default()
        };
        assert_eq!(
            to_line(&run).unwrap(),
            r#"{"state":"RUN_STATE_SUCCEEDED","counters":{"documents_activated":"3"},"attempt":1,"version":"4"}"#
        );
    }

    #[test]
    fn a_list_has_its_key_when_it_is_empty() {
        assert_eq!(
            list_to_line::<Run>("runs", &[], "").unwrap(),
            r#"{"runs":[]}"#
        );
        let list = ListRunsResponse {
            runs: vec![Run::default()],
            next_page_token: "a\"b".into(),
        };
        assert_eq!(
            list_to_line("runs", &list.runs, &list.next_page_token).unwrap(),
            r#"{"runs":[{}],"nextPageToken":"a\"b"}"#
        );
    }

    #[test]
    fn a_task_comes_back_from_its_json() {
        let task = Task {
            name: "tasks/backup-daily".into(),
            priority: Some(0),
            schedule: Some(Schedule {
                every: Some(prost_types::Duration {
                    seconds: 90,
                    nanos: 0,
                }),
                ..Schedule::default()
            }),
            parameters: Some(prost_types::Struct {
                fields: [(
                    "keep".to_owned(),
                    prost_types::Value {
                        kind: Some(prost_types::value::Kind::NumberValue(2.0)),
                    },
                )]
                .into(),
            }),
            ..Task::default()
        };
        let line = to_line(&task).unwrap();
        assert!(line.contains(r#""every":"90s""#), "{line}");
        assert!(line.contains(r#""priority":0"#), "{line}");
        assert_eq!(from_text::<Task>(&line).unwrap(), task);
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        let error = from_text::<Task>(r#"{"crno":"* * * * *"}"#).unwrap_err();
        assert!(error.to_string().contains("crno"), "{error}");
    }

    #[test]
    fn a_mask_names_what_the_text_names_even_where_it_is_a_default() {
        let paths = field_paths::<Task>(r#"{"catchUp":{},"late_after":"5s","description":""}"#);
        let mut paths = paths.unwrap();
        paths.sort();
        assert_eq!(paths, ["catch_up", "description", "late_after"]);
    }

    #[test]
    fn only_fields_that_differ_are_told() {
        let left = Task {
            description: "a".into(),
            priority: Some(5),
            ..Task::default()
        };
        let right = Task {
            description: "b".into(),
            ..left.clone()
        };
        let paths = ["description", "priority"].map(str::to_owned).to_vec();
        assert_eq!(
            differing_paths(paths, &left, &right).unwrap(),
            ["description"]
        );
    }

    #[test]
    fn no_control_character_leaves_in_json() {
        let run = Run {
            message: "a\u{1b}[2J\u{9b}2J".into(),
            ..Run::default()
        };
        let line = to_line(&run).unwrap();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert_eq!(from_text::<Run>(&line).unwrap(), run);
    }
}
