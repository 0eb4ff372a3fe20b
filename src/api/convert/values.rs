//! `google.protobuf.Struct` and JSON.

use prost_types::{Struct, Value as PbValue, value::Kind};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

const DEPTH_MAX: usize = 32;
/// Whole numbers up to here are exact in a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

pub(in crate::api) fn to_struct(map: &Map<String, Value>) -> Struct {
    Struct {
        fields: map
            .iter()
            .map(|(key, value)| (key.clone(), to_value(value)))
            .collect(),
    }
}

fn to_value(value: &Value) -> PbValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.iter().map(to_value).collect(),
        }),
        Value::Object(map) => Kind::StructValue(to_struct(map)),
    };
    PbValue { kind: Some(kind) }
}

/// JSON from outside. Whole numbers stay whole.
pub(in crate::api) fn from_struct(field: &str, from: Struct) -> Result<Map<String, Value>> {
    map(field, from, 0)
}

fn map(field: &str, from: Struct, depth: usize) -> Result<Map<String, Value>> {
    if DEPTH_MAX < depth {
        return Err(Error::invalid(
            field,
            format!("nested deeper than {DEPTH_MAX}"),
        ));
    }
    let mut to = Map::new();
    for (key, value) in from.fields {
        let value = from_value(field, value, depth + 1)?;
        to.insert(key, value);
    }
    Ok(to)
}

fn from_value(field: &str, value: PbValue, depth: usize) -> Result<Value> {
    if DEPTH_MAX < depth {
        return Err(Error::invalid(
            field,
            format!("nested deeper than {DEPTH_MAX}"),
        ));
    }
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(number)) => Value::Number(self::number(field, number)?),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => {
            let values = list.values.into_iter();
            Value::Array(
                values
                    .map(|value| from_value(field, value, depth + 1))
                    .collect::<Result<_>>()?,
            )
        }
        Some(Kind::StructValue(inner)) => Value::Object(map(field, inner, depth + 1)?),
    })
}

fn number(field: &str, number: f64) -> Result<Number> {
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        return Ok(Number::from(number as i64));
    }
    Number::from_f64(number)
        .ok_or_else(|| Error::invalid(field, "expected numbers that are finite"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_goes_there_and_back() {
        let value = json!({"a": 1, "b": [1.5, "x", null, {"c": true}], "d": -3});
        let Value::Object(map) = value else {
            unreachable!("an object")
        };
        assert_eq!(from_struct("parameters", to_struct(&map)).unwrap(), map);
    }
}
