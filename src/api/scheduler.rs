//! `SchedulerService`.

use std::time::Duration;

use async_stream::try_stream;
use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use tonic::{Request, Response};

use super::{
    Api, Feed, REQUEST_BYTES_MAX, Reply, agenda::Begin, caller, convert, convert::time,
    deadline::Listens, names, page, request::Asked, watch::stream_end,
};
use crate::{
    domain::{rules::ZoneRules, task::Pause},
    engine::{AgendaNext, AgendaPage, Drained, LOG_BYTES_MAX},
    error::{Error, all},
    pb::{self, scheduler_service_server::SchedulerService},
};

const AGENDA_DEFAULT: SignedDuration = SignedDuration::from_hours(24);
const AGENDA_MAX: SignedDuration = SignedDuration::from_hours(31 * 24);
const STATUS_EVERY: Duration = Duration::from_secs(1);
const STATUS_HEARTBEAT: u32 = 15;

#[tonic::async_trait]
impl SchedulerService for Api {
    type WatchStatusStream = Feed<pb::WatchStatusResponse>;

    async fn get_server_info(
        &self,
        _: Request<pb::GetServerInfoRequest>,
    ) -> Reply<pb::GetServerInfoResponse> {
        let engine = &self.engine;
        let kinds = engine.registry().kinds().map(|(name, about)| pb::Kind {
            name: name.to_owned(),
            description: about.to_owned(),
        });
        Ok(Response::new(pb::GetServerInfoResponse {
            version: self.info.version.clone(),
            storage: engine.store().kind().to_owned(),
            tzdata_version: engine.tzdb(),
            replica: format!("replicas/{}", engine.replica().id),
            cluster_id: self.info.cluster_id.clone(),
            time_zone: engine.default_zone().to_owned(),
            time: Some(time::stamp(engine.clock().now())),
            start_time: Some(time::stamp(engine.replica().started_at)),
            kinds: kinds.collect(),
            limits: Some(pb::Limits {
                max_page_size: i32::try_from(page::SIZE_MAX).unwrap_or(i32::MAX),
                max_request_bytes: REQUEST_BYTES_MAX as i64,
                max_running: i32::try_from(self.info.max_running).unwrap_or(i32::MAX),
                max_log_bytes: LOG_BYTES_MAX as i64,
                max_content_bytes: i64::try_from(self.documents.settings().content.max_bytes)
                    .unwrap_or(i64::MAX),
            }),
        }))
    }

    async fn get_status(&self, _: Request<pb::GetStatusRequest>) -> Reply<pb::GetStatusResponse> {
        let status = self.monitor.status().await;
        Ok(Response::new(pb::GetStatusResponse {
            status: Some(convert::problem_status(&status)),
        }))
    }

    async fn watch_status(
        &self,
        request: Request<pb::WatchStatusRequest>,
    ) -> Reply<Self::WatchStatusStream> {
        let listens = Listens::of(&request);
        let (monitor, stop) = (self.monitor.clone(), self.stop.clone());
        let feed = try_stream! {
            let mut over = std::pin::pin!(listens.over());
            let mut told: Option<pb::Status> = None;
            let mut quiet = 0;
            let reason = loop {
                if stop.is_cancelled() {
                    break "DRAINING";
                }
                let status = tokio::select! {
                    status = monitor.status() => convert::problem_status(&status),
                    why = &mut over => break why,
                };
                quiet += 1;
                let changed = told.as_ref().is_none_or(|told| differs(told, &status));
                if changed || STATUS_HEARTBEAT <= quiet {
                    quiet = 0;
                    told = Some(status.clone());
                    yield pb::WatchStatusResponse { status: Some(status), end: None };
                }
                tokio::select! {
                    () = tokio::time::sleep(STATUS_EVERY) => {}
                    () = stop.cancelled() => {}
                    why = &mut over => break why,
                }
            };
            let end = Some(stream_end(reason));
            yield pb::WatchStatusResponse { status: None, end };
        };
        Ok(Response::new(Box::pin(feed)))
    }

    async fn get_agenda(
        &self,
        request: Request<pb::GetAgendaRequest>,
    ) -> Reply<pb::GetAgendaResponse> {
        let request = request.into_inner();
        let size = usize::try_from(page::default_size(request.page_size)?).unwrap_or(usize::MAX);
        let asked = format!("{:?} {:?}", request.after_time, request.until_time);
        let scope = page::scope(&["GetAgenda", &asked]);
        let (asked_after, until) = all((
            time::instant_of("after_time", request.after_time.as_ref()),
            time::instant_of("until_time", request.until_time.as_ref()),
        ))?;
        // A page goes on from the same instant as the first, which was perhaps "now".
        let key = page::key(&scope, &request.page_token)?;
        let is_first = key.is_none();
        let Begin {
            after,
            place,
            looked,
        } = match key {
            Some(key) => Begin::read(&key)?,
            None => Begin {
                after: asked_after.unwrap_or_else(|| self.engine.clock().now()),
                place: None,
                looked: 0,
            },
        };
        // Time has an end, after which there is nothing to show.
        let until = until.or_else(|| after.checked_add(AGENDA_DEFAULT).ok());
        let until = until.unwrap_or(Timestamp::MAX);
        if until < after || AGENDA_MAX < until.duration_since(after) {
            // Of a token, the instant is not the caller's.
            return Err(match is_first {
                false => page::damaged(),
                true => Error::invalid(
                    "until_time",
                    format!("expected an instant after {after}, and at most 31 days after it"),
                ),
            }
            .into());
        }
        let AgendaPage { entries, next } = self
            .engine
            .agenda(after, until, size, place.as_ref(), looked)
            .await?;
        let begin = match next {
            AgendaNext::End => None,
            AgendaNext::Behind(place) => Some((Some(place), 0)),
            AgendaNext::Looked(looked) => Some((place, looked)),
        };
        let token = begin.map(|(place, looked)| {
            let begin = Begin {
                after,
                place,
                looked,
            };
            page::token(&scope, &begin.written())
        });
        Ok(Response::new(pb::GetAgendaResponse {
            entries: entries
                .into_iter()
                .map(|entry| pb::AgendaEntry {
                    task: format!("tasks/{}", entry.task),
                    fire: Some(convert::fire(entry.fire)),
                    paused: entry.paused,
                })
                .collect(),
            next_page_token: token.unwrap_or_default(),
        }))
    }

    async fn get_drift(
        &self,
        request: Request<pb::GetDriftRequest>,
    ) -> Reply<pb::GetDriftResponse> {
        super::drift::page(&self.engine, request.into_inner()).await
    }

    async fn list_replicas(
        &self,
        request: Request<pb::ListReplicasRequest>,
    ) -> Reply<pb::ListReplicasResponse> {
        let request = request.into_inner();
        let size = usize::try_from(page::default_size(request.page_size)?).unwrap_or(usize::MAX);
        let scope = page::scope(&["ListReplicas"]);
        let offset: usize = match page::key(&scope, &request.page_token)? {
            Some(key) => page::read(&key)?,
            None => 0,
        };
        let now = self.engine.clock().now();
        let own = self.engine.replica().id;
        // At most 1,000, and few at any time: sliced here.
        let rows = self.engine.store().replicas().await?;
        let next = offset.saturating_add(size);
        let more = next < rows.len();
        let replicas = rows
            .into_iter()
            .skip(offset)
            .take(size)
            .map(|row| pb::Replica {
                alive: row.is_alive(now),
                name: format!("replicas/{}", row.id),
                host: row.host,
                process_id: row.process_id,
                version: row.version,
                configuration_hash: row.configuration_hash,
                start_time: Some(time::stamp(row.started_at)),
                seen_time: Some(time::stamp(row.seen_at)),
                self_: row.id == own,
                tzdata_version: ZoneRules::read(&row.rules)
                    .map(|rules| rules.version)
                    .unwrap_or_default(),
            });
        Ok(Response::new(pb::ListReplicasResponse {
            replicas: replicas.collect(),
            next_page_token: if more {
                page::token(&scope, &next.to_string())
            } else {
                String::new()
            },
        }))
    }

    async fn pause_all(
        &self,
        request: Request<pb::PauseAllRequest>,
    ) -> Reply<pb::PauseAllResponse> {
        let asked = Asked::new("PauseAll", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let (reason, until) = all((
            names::reason(asked.body.reason.clone()),
            self.pause_end(asked.body.until_time.as_ref()),
        ))?;
        let answer = |pause: &Pause| pb::PauseAllResponse {
            pause: Some(convert::pause(pause)),
        };
        let encode = |pause: &Pause| answer(pause).encode_to_vec();
        let remember = asked.remember(&encode);
        let done = self
            .engine
            .pause_all(&asked.who, &reason, until, remember)
            .await;
        asked.reply(self, done, answer).await
    }

    async fn resume_all(
        &self,
        request: Request<pb::ResumeAllRequest>,
    ) -> Reply<pb::ResumeAllResponse> {
        let asked = Asked::new("ResumeAll", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let answer = |count: &u64| pb::ResumeAllResponse {
            task_count: i64::try_from(*count).unwrap_or(i64::MAX),
        };
        let encode = |count: &u64| answer(count).encode_to_vec();
        let done = self
            .engine
            .resume_all(&asked.who, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }

    async fn drain(&self, request: Request<pb::DrainRequest>) -> Reply<pb::DrainResponse> {
        let who = caller(&request)?;
        let body = request.into_inner();
        let lasts_for = body.lasts_for.unwrap_or_default();
        let (lasts_for, reason) = all((
            time::duration("lasts_for", &lasts_for),
            names::reason(body.reason),
        ))?;
        let drained = self.engine.drain(&who, lasts_for, &reason).await?;
        Ok(Response::new(pb::DrainResponse {
            drain: Some(self.drain_state(drained)),
        }))
    }

    async fn accept_clock(
        &self,
        request: Request<pb::AcceptClockRequest>,
    ) -> Reply<pb::AcceptClockResponse> {
        let who = caller(&request)?;
        let reason = names::reason(request.into_inner().reason)?;
        let hold = self.engine.accept_clock(&who, &reason).await?;
        Ok(Response::new(pb::AcceptClockResponse {
            hold: Some(convert::clock_hold(&hold)),
        }))
    }

    async fn get_drain(&self, _: Request<pb::GetDrainRequest>) -> Reply<pb::GetDrainResponse> {
        Ok(Response::new(pb::GetDrainResponse {
            drain: Some(self.drain_state(self.engine.drained())),
        }))
    }

    async fn end_drain(&self, _: Request<pb::EndDrainRequest>) -> Reply<pb::EndDrainResponse> {
        let drained = self.engine.end_drain().await;
        Ok(Response::new(pb::EndDrainResponse {
            drain: Some(self.drain_state(drained)),
        }))
    }
}

impl Api {
    fn drain_state(&self, drained: Drained) -> pb::DrainState {
        convert::drain_state(self.engine.replica().id, drained)
    }
}

/// Whether something has changed that is worth a message: not the time alone.
fn differs(a: &pb::Status, b: &pb::Status) -> bool {
    let still = |status: &pb::Status| pb::Status {
        check_time: None,
        database: status.database.map(|database| pb::DatabaseFigures {
            latency: None,
            clock_offset: None,
            ..database
        }),
        scheduler: status
            .scheduler
            .clone()
            .map(|figures| pb::SchedulerFigures {
                last_tick_time: None,
                audited_row_count: 0,
                uncompared_row_count: 0,
                ..figures
            }),
        rounds: Vec::new(),
        ..status.clone()
    };
    still(a) != still(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::Asking;

    #[test]
    fn an_answer_that_is_kept_for_who_asked_is_the_message() {
        let asking = Asking {
            principal: "ann".to_owned(),
            method: "ResumeAll".to_owned(),
            request_id: "1".to_owned(),
            fingerprint: String::new(),
        };
        for task_count in [0, 1, 127, 128, 100_000, i64::MAX] {
            let answer = pb::ResumeAllResponse { task_count }.encode_to_vec();
            assert_eq!(
                asking.answer(task_count.unsigned_abs()),
                answer,
                "{task_count}"
            );
        }
    }
}
