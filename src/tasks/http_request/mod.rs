//! `http-request`: sends a request that the configuration names, and reads the answer to its end.

mod answer;
mod excerpt;
mod names;
mod redirects;

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use reqwest::{
    Client, Method, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use self::answer::Answer;
use super::{Env, named};
use crate::{
    config::{
        self, Given, HttpRequestConfig, Masker, ParametersIn, Secret, SecretSource, status_range,
    },
    domain::{run::reason, span},
    engine::{Done, Failure, Kind, Need, RunContext},
    error::{Error, Result},
    host,
};

#[derive(Debug, Deserialize)]
pub(super) struct HttpRequest {
    /// A name below `[http_requests]`.
    request: String,
    /// What the request accepts besides.
    #[serde(flatten)]
    values: Map<String, Value>,
}

impl HttpRequest {
    fn config<'a>(&self, env: &'a Env) -> Result<&'a HttpRequestConfig> {
        named(
            &env.shared.http_requests,
            "request",
            "http_requests",
            &self.request,
        )
    }

    /// Its place in the configuration, as errors name it.
    fn place(&self) -> String {
        format!("[http_requests.{}]", self.request)
    }
}

impl Kind for HttpRequest {
    const NAME: &'static str = "http-request";
    const ABOUT: &'static str = "Sends an HTTP request that the configuration file names";
    type Env = Env;

    const HAS_NEEDS: bool = true;

    fn needs(&self, env: &Env) -> Vec<Need> {
        let config = env.shared.http_requests.get(&self.request);
        let headers = config.map(|config| config.secret_headers.values());
        let secrets = headers.into_iter().flatten().filter_map(|header| {
            let source = env.shared.secrets.get(&header.secret)?.clone();
            Some((header.secret.clone(), source))
        });
        let need = |(name, source): (String, SecretSource)| Need {
            question: source.question(&name),
            look: Box::new(move || {
                let read = source.read().map(drop);
                read.map_err(|error| format!("secret {name}: {error:#}"))
            }),
        };
        secrets.map(need).collect()
    }

    fn check(&self, env: &Env) -> Result<()> {
        let config = self.config(env)?;
        let wrong = |reason: String| {
            Error::invalid("parameters.request", format!("{}: {reason}", self.place()))
        };
        Method::from_bytes(config.method.as_bytes())
            .map_err(|_| wrong(format!("{:?} is no HTTP method", config.method)))?;
        config
            .url
            .parse::<Url>()
            .map_err(|error| wrong(format!("url: {error}")))?;
        if config.follow_redirects && !config.secret_headers.is_empty() {
            let reason = "follow_redirects and secret_headers exclude each other: the secret would go to \
                          wherever the answer points";
            return Err(wrong(reason.to_owned()));
        }
        let own = [&config.idempotency_header, &config.attempt_header];
        let own = own.into_iter().filter(|name| !name.is_empty());
        let names = config.headers.keys().chain(config.secret_headers.keys());
        for name in names.chain(own) {
            name.parse::<HeaderName>()
                .map_err(|_| wrong(format!("{name:?} is no name of a header")))?;
        }
        config.accepts.check_own(&self.place(), &self.values)
    }

    fn check_run(&self, env: &Env) -> Result<()> {
        let config = self.config(env)?;
        let given = config.accepts.given(&self.place(), &self.values);
        given.map(drop)
    }

    fn secrets(&self, env: &Env) -> Vec<String> {
        let config = self.config(env).ok();
        let names = config
            .into_iter()
            .flat_map(|config| config.accepts.secrets());
        names.map(str::to_owned).collect()
    }

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let config = self.config(&env)?;
        let given = config.accepts.given(&self.place(), &self.values);
        let given = given.map_err(Failure::never)?;
        let method = Method::from_bytes(config.method.as_bytes())?;
        let secrets = secrets(&env, config).await?;
        let mut headers = headers(config, &secrets, &context)?;
        let shown = config::without_password(&config.url);
        if context.dry_run {
            context.log(format!("dry run: {method} {shown} was not sent"));
            return Ok(Done::nothing_to_do("dry run: not sent"));
        }
        let client = Client::builder()
            .redirect(redirects::policy(config.follow_redirects, &method))
            // A redirect must not go over a connection that its sender is about to close.
            .pool_max_idle_per_host(0)
            // It would tell where the answer points what the query held.
            .referer(false)
            .timeout(config.timeout)
            .no_proxy()
            .dns_resolver(Arc::new(names::Names))
            .user_agent(concat!("watchbell/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("could not make an HTTP client")?;
        let (url, body) = content(config, &given)?;
        if body.is_some() && config.body.is_none() {
            headers
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
        }
        let mut request = client.request(method.clone(), url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        context.log(format!("{method} {shown}"));
        let sent = tokio::select! {
            sent = request.send() => sent,
            () = context.cancel.cancelled() => return Err(anyhow!("stopped before an answer came").into()),
        };
        let response = sent.map_err(|error| unanswered(error, config, &shown))?;
        let handed_over = given.iter().filter_map(|given| given.secret.as_ref());
        let secrets = secrets.iter().chain(handed_over);
        let masker = Masker::new(secrets.map(Secret::expose));
        let mut answer = Answer::read(response, config, masker, &context).await;
        context.log(answer.told());
        for line in &answer.lines {
            context.log(line);
        }
        let broken = answer.broken.take();
        match (judge(config, &answer), broken) {
            // What began as a success and did not come to its end is none.
            (Ok(_), Some(broken)) => Err(broken),
            (judged, _) => judged,
        }
    }
}

/// Where the request goes and what it carries, with what was handed over.
fn content(config: &HttpRequestConfig, given: &[Given]) -> anyhow::Result<(Url, Option<String>)> {
    // The error may show a password.
    let url = config.url.parse::<Url>();
    let mut url = url.map_err(|_| anyhow!("its url is none"))?;
    match config.parameters_in {
        _ if config.accepts.is_empty() => Ok((url, config.body.clone())),
        ParametersIn::Body => Ok((url, Some(config::as_json(given).to_string()))),
        ParametersIn::Query => {
            for given in given {
                url.query_pairs_mut()
                    .append_pair(&given.name, &given.text());
            }
            Ok((url, config.body.clone()))
        }
    }
}

/// The secrets of the headers that hold one, in their order.
async fn secrets(env: &Env, config: &HttpRequestConfig) -> Result<Vec<Secret>, Failure> {
    let mut secrets = Vec::new();
    for header in config.secret_headers.values() {
        let name = header.secret.clone();
        let source = env.shared.secrets.get(&name).cloned();
        let source = source.with_context(|| format!("there is no [secrets.{name}]"))?;
        let read = host::ask(source.question(&name), move || source.read()).await;
        secrets.push(read?.with_context(|| format!("secret {name}"))?);
    }
    Ok(secrets)
}

fn headers(
    config: &HttpRequestConfig,
    secrets: &[Secret],
    context: &RunContext,
) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let value =
            HeaderValue::from_str(value).with_context(|| format!("the value of header {name}"))?;
        headers.insert(name.parse::<HeaderName>()?, value);
    }
    for ((name, header), secret) in config.secret_headers.iter().zip(secrets) {
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
    }
    let own = [
        (&config.idempotency_header, context.idempotency_key()),
        (&config.attempt_header, context.token.to_string()),
    ];
    for (name, value) in own.into_iter().filter(|(name, _)| !name.is_empty()) {
        headers.insert(name.parse::<HeaderName>()?, HeaderValue::from_str(&value)?);
    }
    Ok(headers)
}

/// The failure where no answer came.
fn unanswered(error: reqwest::Error, config: &HttpRequestConfig, shown: &str) -> Failure {
    if error.is_timeout() {
        let limit = span::format(config.timeout);
        let error = anyhow!("no answer from {shown} within {limit}");
        return Failure::from(error).because(reason::ANSWER_TIMEOUT);
    }
    // Without the URL: it may hold a secret.
    let error = anyhow::Error::new(error.without_url());
    Failure::from(error.context(format!("no answer from {shown}")))
}

fn judge(config: &HttpRequestConfig, answer: &Answer) -> Result<Done, Failure> {
    let among = |ranges: &[String]| {
        ranges
            .iter()
            .any(|range| status_range(range).is_ok_and(|range| range.contains(&answer.status)))
    };
    let counted = |done: Done| {
        done.count("status", answer.status)
            .count("bytes", answer.bytes)
    };
    let whole = !answer.open_ended || config.end_may_be_unannounced;
    if among(&config.succeed) && !whole {
        let what = format!(
            "{}, and whether that is all is not known: it did not say where it ends; let it send a Content-Length, or \
             set end_may_be_unannounced = true",
            answer.told()
        );
        return Ok(counted(Done::partial(what)).because(reason::ANSWER_END_UNKNOWN));
    }
    if among(&config.nothing_to_do) {
        return Ok(counted(Done::nothing_to_do(answer.told())));
    }
    if among(&config.succeed) {
        return Ok(counted(Done::worked(answer.told())));
    }
    let error = anyhow!(
        "the answer was {}, {} bytes; expected {}",
        answer.status,
        answer.bytes,
        config.succeed.join(", ")
    );
    match answer.wait {
        _ if !among(&config.retry) => Err(Failure::never(error)),
        Some(wait) => Err(Failure::after(error, wait)),
        None => Err(Failure::from(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{domain::Outcome, engine::Again};

    #[test]
    fn statuses_become_outcomes() {
        let config: HttpRequestConfig =
            serde_json::from_str(r#"{"url": "http://127.0.0.1/", "nothing_to_do": ["204"]}"#)
                .unwrap();
        let judged = |status: u16, wait: Option<Duration>| {
            let answer = Answer {
                status,
                bytes: 0,
                lines: Vec::new(),
                wait,
                open_ended: false,
                broken: None,
            };
            judge(&config, &answer)
        };
        assert_eq!(judged(200, None).unwrap().outcome, Outcome::Worked);
        assert_eq!(judged(204, None).unwrap().outcome, Outcome::NothingToDo);
        for status in [101, 301, 304, 404] {
            assert_eq!(judged(status, None).unwrap_err().again, Again::Never);
        }
        assert_eq!(judged(503, None).unwrap_err().again, Again::ByPolicy);
        let wait = Duration::from_secs(7);
        assert_eq!(
            judged(429, Some(wait)).unwrap_err().again,
            Again::After(wait)
        );
    }
}
