//! The engine against scripted streams: each opening takes the next script.

use std::sync::{Arc, Mutex};

use futures_util::stream;

use super::*;
use crate::{
    pb::{LogChunk, TailRunLogResponse, tail_run_log_response::Message},
    watch::Listener,
};

type Scripted = Result<TailRunLogResponse, Status>;

fn chunk(token: &str) -> Scripted {
    message(token, Message::Chunk(LogChunk::default()))
}

fn end(token: &str, reason: &str, retry_after_seconds: i64) -> Scripted {
    let end = StreamEnd {
        reason: reason.into(),
        retry_after: Some(prost_types::Duration {
            seconds: retry_after_seconds,
            nanos: 0,
        }),
    };
    message(token, Message::End(end))
}

fn message(token: &str, message: Message) -> Scripted {
    Ok(TailRunLogResponse {
        message: Some(message),
        resume_token: token.into(),
        log_drop_time: None,
    })
}

struct Played {
    items: Vec<Result<String, WatchError>>,
    opened_at: Vec<String>,
    waits: Vec<Interruption>,
}

/// Plays the scripts one after the other; the opening after the last one is refused.
async fn play(scripts: Vec<Result<Vec<Scripted>, Status>>, mut follow: Follow) -> Played {
    let opened_at = Arc::new(Mutex::new(Vec::new()));
    let waits = Arc::new(Mutex::new(Vec::new()));
    let listener: Listener = {
        let waits = Arc::clone(&waits);
        Arc::new(move |interruption: &Interruption| {
            waits.lock().unwrap().push(interruption.clone());
        })
    };
    follow.on_interruption = Some(listener);
    let mut scripts = scripts.into_iter();
    let opened = Arc::clone(&opened_at);
    let items = resuming(String::new(), OnClose::Resume, follow, move |token| {
        opened.lock().unwrap().push(token);
        let script = scripts
            .next()
            .unwrap_or_else(|| Err(Status::not_found("script is over")));
        async { script.map(stream::iter) }
    });
    let items = items
        .map(|item| item.map(|message: TailRunLogResponse| message.resume_token))
        .collect()
        .await;
    Played {
        items,
        opened_at: opened_at.lock().unwrap().clone(),
        waits: waits.lock().unwrap().clone(),
    }
}

fn tokens(played: &Played) -> Vec<&str> {
    let shown = played.items.iter().filter_map(|item| item.as_ref().ok());
    shown.map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_resumes_at_the_last_token() {
    let scripts = vec![
        Ok(vec![chunk("a"), chunk("b"), Err(Status::unknown("h2"))]),
        Err(Status::unavailable("restarting")),
        Ok(vec![chunk("c"), end("d", "RUN_ENDED", 0)]),
    ];
    let played = play(scripts, Follow::default()).await;
    assert_eq!(tokens(&played), ["a", "b", "c"]);
    assert_eq!(played.opened_at, ["", "b", "b"]);
    assert_eq!(played.waits.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_waited_out_as_long_as_the_server_says() {
    let scripts = vec![
        Ok(vec![chunk("a"), end("b", "DRAINING", 7)]),
        Ok(vec![end("c", "RUN_ENDED", 0)]),
    ];
    let played = play(scripts, Follow::default()).await;
    assert_eq!(played.opened_at, ["", "b"]);
    assert_eq!(played.waits[0].wait, Duration::from_secs(7));
    assert!(played.waits[0].cause.contains("DRAINING"));
}

#[tokio::test(start_paused = true)]
async fn what_waiting_does_not_mend_ends_the_watch() {
    for code in [
        Code::InvalidArgument,
        Code::OutOfRange,
        Code::Unauthenticated,
        Code::NotFound,
    ] {
        let played = play(vec![Err(Status::new(code, "no"))], Follow::default()).await;
        assert_eq!(played.opened_at.len(), 1);
        let [Err(WatchError::Refused(status))] = played.items.as_slice() else {
            panic!("{code:?} did not end the watch");
        };
        assert_eq!(status.code(), code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_closes_without_a_word_is_opened_again() {
    let scripts = vec![Ok(vec![chunk("a")]), Ok(vec![chunk("b")])];
    let played = play(scripts, Follow::default()).await;
    assert_eq!(tokens(&played), ["a", "b"]);
    assert_eq!(played.opened_at, ["", "a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_stall_of_the_log_is_told_when_it_begins_and_when_it_is_over() {
    let beat = |since: Option<i64>, as_of: i64| {
        let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        let beat = Heartbeat {
            time: None,
            as_of: Some(at(as_of)),
            stalled_since: since.map(at),
        };
        message("", Message::Heartbeat(beat))
    };
    let scripts = vec![
        Ok(vec![beat(None, 1), beat(Some(3), 2), beat(Some(3), 2)]),
        Ok(vec![
            beat(Some(3), 2),
            beat(None, 4),
            end("a", "RUN_ENDED", 0),
        ]),
    ];
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let follow = Follow {
        on_stall: Some(Arc::new(move |stall: &Stall| {
            let seconds = |time: Option<prost_types::Timestamp>| time.map(|time| time.seconds);
            let stall = (seconds(stall.since), seconds(stall.as_of));
            heard.lock().unwrap().push(stall);
        })),
        ..Follow::default()
    };
    play(scripts, follow).await;
    let told = told.lock().unwrap().clone();
    assert_eq!(told, [(Some(3), Some(2)), (None, Some(4))]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_gives_up_when_told_to() {
    let scripts = (0..50)
        .map(|_| Err(Status::unavailable("down")))
        .collect::<Vec<_>>();
    let follow = Follow {
        give_up_after: Some(Duration::from_secs(20)),
        ..Follow::default()
    };
    let played = play(scripts, follow).await;
    assert!(matches!(
        played.items.as_slice(),
        [Err(WatchError::GaveUp { .. })]
    ));
    let waited: Duration = played.waits.iter().map(|waited| waited.wait).sum();
    assert!(waited <= Duration::from_secs(20), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_taken_for_dead() {
    let mut openings = 0;
    let items = resuming(String::new(), OnClose::Resume, Follow::default(), |_| {
        openings += 1;
        let first = openings == 1;
        async move {
            if first {
                return Ok(stream::pending::<Scripted>());
            }
            Err(Status::not_found("over"))
        }
    });
    let items: Vec<_> = items.collect().await;
    assert_eq!(items.len(), 1);
    assert_eq!(openings, 2);
}
