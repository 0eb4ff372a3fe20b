//! An answer read to its end: what of it is shown, how much came, and whether that was all.

use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use reqwest::{
    Response, Version,
    header::{CONTENT_ENCODING, RETRY_AFTER, TRANSFER_ENCODING},
};

use super::excerpt::Excerpt;
use crate::{
    config::{HttpRequestConfig, Masker},
    domain::{run::reason, span},
    engine::{Failure, RunContext},
};

const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What came of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Bytes of its body that were read.
    pub(super) bytes: u64,
    /// Lines of its beginning and end, fit to be shown.
    pub(super) lines: Vec<String>,
    /// How long its sender asks to be left alone.
    pub(super) wait: Option<Duration>,
    /// Whether it did not say where it ends: one that was cut off looks just the same.
    pub(super) open_ended: bool,
    /// Why it is not the whole answer, where it is not.
    pub(super) broken: Option<Failure>,
}

impl Answer {
    /// Reads until the body ends as it announced, or until it is known that it will not. Each piece counts
    /// as progress of the run.
    pub(super) async fn read(
        mut response: Response,
        config: &HttpRequestConfig,
        masker: Masker,
        context: &RunContext,
    ) -> Self {
        let status = response.status().as_u16();
        let wait = retry_after(&response, context.clock.now());
        let announced = response.content_length();
        let open_ended = is_open_ended(&response);
        let encoding = encoding(&response);
        let mut excerpt = Excerpt::new(masker);
        let mut bytes = 0_u64;
        let broken = loop {
            let piece = tokio::select! {
                piece = response.chunk() => piece,
                () = context.cancel.cancelled() => {
                    let what = format!("stopped while the answer {status} was read, after {bytes} bytes");
                    break Some(anyhow!(what).into());
                }
            };
            match piece {
                Ok(None) => break None,
                Ok(Some(piece)) => {
                    context.alive();
                    bytes += piece.len() as u64;
                    if encoding.is_none() {
                        excerpt.add(&piece);
                    }
                    if config.max_answer_bytes < bytes {
                        break Some(too_large(config, status));
                    }
                }
                Err(error) => break Some(broken_off(error, config, status, bytes, announced)),
            }
        };
        let lines = match encoding {
            // What is encoded cannot be read, and secrets in it cannot be found.
            Some(encoding) if 0 < bytes => {
                vec![format!(
                    "its body is encoded ({encoding}), which was not asked for, and is not shown"
                )]
            }
            _ => excerpt.lines(),
        };
        Self {
            status,
            bytes,
            lines,
            wait,
            open_ended,
            broken,
        }
    }

    /// The status and how much was read, for people.
    pub(super) fn told(&self) -> String {
        format!("answer {}, {} bytes", self.status, self.bytes)
    }
}

fn too_large(config: &HttpRequestConfig, status: u16) -> Failure {
    let what = format!(
        "the answer {status} is larger than max_answer_bytes = {}, and was not read to its end: raise it, or \
         ask for less",
        config.max_answer_bytes
    );
    // The same question has the same answer.
    Failure::never(anyhow!(what)).because(reason::ANSWER_TOO_LARGE)
}

fn broken_off(
    error: reqwest::Error,
    config: &HttpRequestConfig,
    status: u16,
    bytes: u64,
    announced: Option<u64>,
) -> Failure {
    let of = announced.map_or_else(String::new, |all| format!(" of {all}"));
    if error.is_timeout() {
        let limit = span::format(config.timeout);
        let what =
            format!("the answer {status} was not complete within {limit}: {bytes} bytes{of} came");
        return Failure::from(anyhow!(what)).because(reason::ANSWER_TIMEOUT);
    }
    // Without the URL: it may hold a secret.
    let error = anyhow!(error.without_url());
    let what = format!("the answer {status} broke off after {bytes} bytes{of}");
    Failure::from(error.context(what)).because(reason::ANSWER_BROKEN_OFF)
}

/// Whether the body ends with its connection. None at all, as of HEAD, 204 and 304, has a length, which is zero.
fn is_open_ended(response: &Response) -> bool {
    let last = response
        .headers()
        .get_all(TRANSFER_ENCODING)
        .iter()
        .next_back();
    let coding = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    let chunked = coding.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
    // From HTTP/2 on each answer has an end of its own.
    response.version() < Version::HTTP_2 && response.content_length().is_none() && !chunked
}

/// How the body is encoded, where it is although nothing of the kind was asked for.
fn encoding(response: &Response) -> Option<String> {
    let value = response.headers().get(CONTENT_ENCODING)?;
    let text: String = String::from_utf8_lossy(value.as_bytes())
        .chars()
        .filter(|c| !c.is_control())
        .take(40)
        .collect();
    (!text.trim().is_empty() && !text.trim().eq_ignore_ascii_case("identity")).then_some(text)
}

fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    wait_of(text.trim(), now)
}

/// `Retry-After`: seconds, or a date in any of the forms that HTTP has known. What has passed is no wait.
fn wait_of(text: &str, now: Timestamp) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let date = Timestamp::try_from(date).ok()?;
    let wait = Duration::try_from(date.duration_since(now)).unwrap_or_default();
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_each_form_and_bounded() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Sun, 06 Nov 1994 07:49:37 GMT", Some(0)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(3600)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(
                wait_of(text, now),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
    }
}
