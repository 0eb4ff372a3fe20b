//! What every command has at hand: the connection, the output and the clock.

use std::{fs, path::Path};

use jiff::{Timestamp, tz::TimeZone};
use tonic::{Request, Response, Status};
use watchbell_client::{
    call,
    client::Client,
    pb::{GetStatusRequest, Pause},
};

use crate::{
    args::Globals,
    failure::Failure,
    output::{Output, remark},
    time::{self, Clock, Moment},
};

/// Most items of a page.
pub(crate) const LARGEST_PAGE: i32 = 1_000;

/// A command's surroundings.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) output: Output,
    pub(crate) clock: Clock,
}

impl Session {
    /// Reads the token and connects.
    pub(crate) async fn open(globals: &Globals) -> Result<Self, Failure> {
        let token = read_token(&globals.token_file())?;
        Ok(Self {
            client: Client::connect(&globals.endpoint(), &token).await?,
            output: Output::new(globals.output, globals.color),
            clock: Clock {
                now: time::now(),
                zone: time::local_zone(),
            },
        })
    }

    /// Asks the server once, or a few times while the connection fails.
    pub(crate) async fn ask<M: Clone, R>(
        &self,
        message: M,
        send: impl AsyncFnMut(Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        Ok(call::unary(message, send).await?)
    }

    /// The pause of everything, where there is one. While it holds nothing fires, whatever the next fire of a task is.
    pub(crate) async fn pause_of_all(&self) -> Result<Option<Pause>, Failure> {
        let response = self
            .ask(GetStatusRequest {}, async |request| {
                self.client.scheduler().get_status(request).await
            })
            .await?;
        Ok(response.status.unwrap_or_default().pause)
    }

    /// The instant that is meant, on the clock of `zone` or of this machine.
    pub(crate) fn instant(
        &self,
        moment: Option<&Moment>,
        zone: Option<&str>,
    ) -> Result<Option<prost_types::Timestamp>, Failure> {
        let Some(moment) = moment else {
            return Ok(None);
        };
        let instant = resolve(moment, &self.clock, zone)?;
        Ok(Some(time::to_proto(instant)))
    }
}

/// Tells people that a list goes on.
pub(crate) fn tell_more(next_page_token: &str) {
    if !next_page_token.is_empty() {
        remark("there are more: --all shows them");
    }
}

/// Says that a list is empty, where that is so: with a token left it is so only as far as the server has looked.
pub(crate) fn tell_none(
    session: &Session,
    what: &str,
    next_page_token: &str,
) -> Result<(), Failure> {
    if !next_page_token.is_empty() {
        tell_not_all();
        return Ok(());
    }
    session.output.line(what)
}

/// Says of an empty list that nobody knows yet whether it is.
pub(crate) fn tell_not_all() {
    remark("nothing was found so far, and the server has not looked at all: ask again");
}

/// All pages, or the first at `token` or behind it that is not empty, and the token of the next.
pub(crate) async fn pages<T>(
    all: bool,
    mut token: String,
    mut fetch: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Failure>,
) -> Result<(Vec<T>, String), Failure> {
    let mut items = Vec::new();
    loop {
        let (page, next) = fetch(token.clone()).await?;
        items.extend(page);
        // A page can be empty though there are more: then nothing was found as far as it has looked.
        let enough = !all && !items.is_empty();
        // A server that hands out the same token again would keep us here for ever.
        if enough || next.is_empty() || next == token {
            return Ok((items, next));
        }
        token = next;
    }
}

fn resolve(moment: &Moment, clock: &Clock, zone: Option<&str>) -> Result<Timestamp, Failure> {
    let zone = match (moment, zone) {
        (Moment::Civil(_), Some(name)) => TimeZone::get(name).map_err(|_| {
            Failure::Usage(format!(
                "`{name}` is not a time zone such as Europe/Paris, so a time on its clock cannot be read"
            ))
        })?,
        _ => clock.zone.clone(),
    };
    moment
        .resolve(clock.now, &zone)
        .map_err(|error| Failure::Usage(format!("the time is out of range: {error}")))
}

fn read_token(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::Token {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_pages_are_joined() {
        let all = pages(true, String::new(), async |token| {
            Ok(match token.as_str() {
                "" => (vec![1, 2], "a".to_owned()),
                "a" => (vec![3], "b".to_owned()),
                _ => (vec![4], String::new()),
            })
        })
        .await;
        assert_eq!(all.unwrap(), (vec![1, 2, 3, 4], String::new()));
    }

    #[tokio::test]
    async fn one_page_comes_with_the_token_of_the_next() {
        let one = pages(false, String::new(), async |_| {
            Ok((vec![1], "a".to_owned()))
        })
        .await;
        assert_eq!(one.unwrap(), (vec![1], "a".to_owned()));
    }

    #[tokio::test]
    async fn an_empty_page_is_passed_over_where_there_are_more() {
        let one = pages(false, String::new(), async |token| {
            Ok(match token.as_str() {
                "" => (vec![], "a".to_owned()),
                _ => (vec![1], "b".to_owned()),
            })
        })
        .await;
        assert_eq!(one.unwrap(), (vec![1], "b".to_owned()));
    }

    #[tokio::test]
    async fn a_server_that_repeats_itself_is_not_asked_for_ever() {
        let all = pages(true, String::new(), async |_| Ok((vec![1], "a".to_owned()))).await;
        assert_eq!(all.unwrap().0.len(), 2);
    }

    #[test]
    fn a_time_is_read_in_the_zone_that_was_named() {
        let clock = Clock {
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        let moment: Moment = "2026-03-08T02:00".parse().unwrap();
        let read = |zone| resolve(&moment, &clock, zone);
        let paris: Timestamp = "2026-03-08T01:00:00Z".parse().unwrap();
        assert_eq!(read(Some("Europe/Paris")).unwrap(), paris);
        assert_eq!(read(None).unwrap().to_string(), "2026-03-08T02:00:00Z");
        assert!(matches!(read(Some("Mars/Olympus")), Err(Failure::Usage(_))));
    }
}
