//! Requests that tasks may name, as they are written.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::parameters::Accepts;
use crate::domain::span;

/// A header whose value is a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretHeader {
    /// Name of the secret.
    pub secret: String,
    /// Stands before it, such as `Bearer `.
    #[serde(default)]
    pub prefix: String,
}

/// Where a request sends the values that were handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParametersIn {
    /// As a JSON object in the body.
    #[default]
    Body,
    /// In the URL's query, behind what is there.
    Query,
}

/// A request that tasks may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequestConfig {
    #[serde(default = "get")]
    pub method: String,
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub secret_headers: BTreeMap<String, SecretHeader>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Values that a trigger may hand over.
    #[serde(default, skip_serializing_if = "Accepts::is_empty")]
    pub accepts: Accepts,
    /// Where they are sent.
    #[serde(default)]
    pub parameters_in: ParametersIn,
    #[serde(default = "half_minute", with = "span::required")]
    pub timeout: Duration,
    /// Statuses, or ranges of them, that mean success.
    #[serde(default = "two_hundreds")]
    pub succeed: Vec<String>,
    /// Statuses of `succeed` that mean that there was nothing to do.
    #[serde(default)]
    pub nothing_to_do: Vec<String>,
    /// Statuses after which another attempt may succeed. Others fail for good.
    #[serde(default = "retryable")]
    pub retry: Vec<String>,
    /// Header that carries the run's id, which is the same for each of its attempts; empty for none.
    #[serde(default = "idempotency_key")]
    pub idempotency_header: String,
    /// Header that carries the attempt's number, from 1; empty for none.
    #[serde(default = "attempt")]
    pub attempt_header: String,
    #[serde(default)]
    pub follow_redirects: bool,
    /// Bytes of the largest answer: one that is larger is a failure.
    #[serde(default = "mebibytes_64")]
    pub max_answer_bytes: u64,
    /// Takes an answer for whole that does not say where it ends, and ends with its connection.
    #[serde(default)]
    pub end_may_be_unannounced: bool,
}

fn get() -> String {
    "GET".to_owned()
}

fn half_minute() -> Duration {
    Duration::from_secs(30)
}

fn two_hundreds() -> Vec<String> {
    vec!["200-299".to_owned()]
}

fn retryable() -> Vec<String> {
    ["408", "425", "429", "500-599"].map(str::to_owned).to_vec()
}

fn idempotency_key() -> String {
    "Idempotency-Key".to_owned()
}

fn mebibytes_64() -> u64 {
    64 << 20
}

fn attempt() -> String {
    "Watchbell-Attempt".to_owned()
}
