//! `http-request`: sends a request that the configuration names.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::StreamExt as _;
use reqwest::{
    Client, Method, Response,
    header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use serde::Deserialize;

use super::{Env, named};
use crate::{
    config::{HttpRequestConfig, Secret, status_range},
    engine::{Done, Failure, Kind, RunContext},
    error::{Error, Result},
};

const EXCERPT_BYTES: usize = 4 << 10;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
const REDIRECTS_MAX: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpRequest {
    /// A name below `[http_requests]`.
    request: String,
}

impl Kind for HttpRequest {
    const NAME: &'static str = "http-request";
    const ABOUT: &'static str = "Sends an HTTP request that the configuration file names";
    type Env = Env;

    fn check(&self, env: &Env) -> Result<()> {
        let config = named(
            &env.shared.http_requests,
            "request",
            "http_requests",
            &self.request,
        )?;
        let wrong = |reason: String| {
            Error::invalid(
                "parameters.request",
                format!("[http_requests.{}]: {reason}", self.request),
            )
        };
        Method::from_bytes(config.method.as_bytes())
            .map_err(|_| wrong(format!("{:?} is no HTTP method", config.method)))?;
        config
            .url
            .parse::<reqwest::Url>()
            .map_err(|error| wrong(format!("url: {error}")))?;
        if config.follow_redirects && !config.secret_headers.is_empty() {
            let reason = "follow_redirects and secret_headers exclude each other: the secret would go to \
                          wherever the answer points";
            return Err(wrong(reason.to_owned()));
        }
        let names = config.headers.keys().chain(config.secret_headers.keys());
        for name in names {
            name.parse::<HeaderName>()
                .map_err(|_| wrong(format!("{name:?} is no name of a header")))?;
        }
        Ok(())
    }

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let config = named(
            &env.shared.http_requests,
            "request",
            "http_requests",
            &self.request,
        )?;
        let method = Method::from_bytes(config.method.as_bytes())?;
        let (headers, secrets) = headers(&env, config, &context)?;
        let shown = crate::config::without_password(&config.url);
        if context.dry_run {
            context.log(format!("dry run: {method} {shown} was not sent"));
            return Ok(Done::nothing_to_do("dry run: not sent"));
        }
        let redirects = if config.follow_redirects {
            Policy::limited(REDIRECTS_MAX)
        } else {
            Policy::none()
        };
        let client = Client::builder()
            .redirect(redirects)
            .timeout(config.timeout)
            .no_proxy()
            .user_agent(concat!("watchbell/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("could not make an HTTP client")?;
        let mut request = client.request(method.clone(), &config.url).headers(headers);
        if let Some(body) = &config.body {
            request = request.body(body.clone());
        }
        context.log(format!("{method} {shown}"));
        let sent = tokio::select! {
            sent = request.send() => sent,
            () = context.cancel.cancelled() => return Err(anyhow!("stopped before an answer came").into()),
        };
        // Without the URL: it may hold a secret.
        let response = sent.map_err(|error| {
            anyhow!(error.without_url()).context(format!("no answer from {shown}"))
        })?;
        let status = response.status().as_u16();
        let wait = retry_after(&response);
        let excerpt = tokio::select! {
            excerpt = excerpt(response, &secrets) => excerpt,
            () = context.cancel.cancelled() => return Err(anyhow!("stopped while the answer was read").into()),
        };
        context.log(format!("answer {status}"));
        for line in excerpt.lines() {
            context.log(line);
        }
        judge(config, status, wait)
    }
}

fn headers(
    env: &Env,
    config: &HttpRequestConfig,
    context: &RunContext,
) -> anyhow::Result<(HeaderMap, Vec<Secret>)> {
    let mut headers = HeaderMap::new();
    let mut secrets = Vec::new();
    for (name, value) in &config.headers {
        let value =
            HeaderValue::from_str(value).with_context(|| format!("the value of header {name}"))?;
        headers.insert(name.parse::<HeaderName>()?, value);
    }
    for (name, header) in &config.secret_headers {
        let source = env.shared.secrets.get(&header.secret);
        let source = source.with_context(|| format!("there is no [secrets.{}]", header.secret))?;
        let secret = source
            .read()
            .with_context(|| format!("secret {}", header.secret))?;
        // The error of a wrong value would show it.
        let value = HeaderValue::from_str(&format!("{}{}", header.prefix, secret.expose()));
        let Ok(mut value) = value else {
            anyhow::bail!(
                "secret {} holds characters that no header may have",
                header.secret
            );
        };
        value.set_sensitive(true);
        headers.insert(name.parse::<HeaderName>()?, value);
        secrets.push(secret);
    }
    if !config.idempotency_header.is_empty() {
        let value = HeaderValue::from_str(&context.idempotency_key())?;
        headers.insert(config.idempotency_header.parse::<HeaderName>()?, value);
    }
    Ok((headers, secrets))
}

/// The answer's beginning, made fit to be shown.
async fn excerpt(response: Response, secrets: &[Secret]) -> String {
    let longest = secrets.iter().map(|secret| secret.expose().len()).max();
    let longest = longest.unwrap_or(0);
    let mut bytes: Vec<u8> = Vec::new();
    let mut body = response.bytes_stream();
    // What breaks off is shown as far as it came: the status has told already.
    while let Some(Ok(part)) = body.next().await {
        bytes.extend_from_slice(&part);
        if EXCERPT_BYTES + longest <= bytes.len() {
            break;
        }
    }
    // Masked before it is cut: the end must not show the beginning of a secret.
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    for secret in secrets {
        text = text.replace(secret.expose(), "***");
    }
    let whole = text.len().min(EXCERPT_BYTES);
    text.truncate(text.floor_char_boundary(whole));
    let shown = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn judge(config: &HttpRequestConfig, status: u16, wait: Option<Duration>) -> Result<Done, Failure> {
    let among = |ranges: &[String]| {
        ranges
            .iter()
            .any(|range| status_range(range).is_ok_and(|range| range.contains(&status)))
    };
    let message = format!("answer {status}");
    if among(&config.nothing_to_do) {
        return Ok(Done::nothing_to_do(message).count("status", status));
    }
    if among(&config.succeed) {
        return Ok(Done::worked(message).count("status", status));
    }
    let error = anyhow!(
        "the answer was {status}; expected {}",
        config.succeed.join(", ")
    );
    match wait {
        _ if !among(&config.retry) => Err(Failure::never(error)),
        Some(wait) => Err(Failure::after(error, wait)),
        None => Err(Failure::from(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Outcome, engine::Again};

    #[test]
    fn statuses_become_outcomes() {
        let config: HttpRequestConfig =
            serde_json::from_str(r#"{"url": "http://127.0.0.1/", "nothing_to_do": ["204"]}"#)
                .unwrap();
        assert_eq!(judge(&config, 200, None).unwrap().outcome, Outcome::Worked);
        assert_eq!(
            judge(&config, 204, None).unwrap().outcome,
            Outcome::NothingToDo
        );
        assert_eq!(judge(&config, 404, None).unwrap_err().again, Again::Never);
        assert_eq!(
            judge(&config, 503, None).unwrap_err().again,
            Again::ByPolicy
        );
        let wait = Duration::from_secs(7);
        assert_eq!(
            judge(&config, 429, Some(wait)).unwrap_err().again,
            Again::After(wait)
        );
    }
}
