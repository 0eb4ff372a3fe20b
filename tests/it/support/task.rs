//! Tasks and instants, as briefly as a story can say them.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::Timestamp;
use watchbell_client::pb;

use super::Stage;

/// A task whose handler does what the test says.
pub(crate) fn scripted(stage: &Stage) -> pb::Task {
    let text = prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(stage.id().to_owned())),
    };
    let parameters = prost_types::Struct {
        fields: BTreeMap::from([("stage".to_owned(), text)]),
    };
    pb::Task {
        kind: "scripted".to_owned(),
        parameters: Some(parameters),
        ..pb::Task::default()
    }
}

/// A task that succeeds at once. Its runs may overlap: at once is not always soon enough for a story
/// that moves the clock on.
pub(crate) fn instant() -> pb::Task {
    let task = pb::Task {
        kind: "instant".to_owned(),
        ..pb::Task::default()
    };
    task.overlap(pb::OverlapPolicy::Allow)
}

/// A configuration of so many tasks that succeed at once, `t0000` and on, all by this schedule.
pub(crate) fn many(count: usize, schedule: &str) -> String {
    let mut tasks = String::new();
    for number in 0..count {
        writeln!(
            tasks,
            "[tasks.t{number:04}]\nkind = \"instant\"\nschedule = {schedule}"
        )
        .unwrap();
    }
    tasks
}

pub(crate) trait TaskExt: Sized {
    fn cron(self, line: &str) -> Self;
    fn every(self, seconds: u64) -> Self;
    fn overlap(self, policy: pb::OverlapPolicy) -> Self;
    fn catch_up(self, mode: pb::CatchUpMode) -> Self;
    fn attempts(self, max: i32) -> Self;
}

impl TaskExt for pb::Task {
    fn cron(mut self, line: &str) -> Self {
        line.clone_into(&mut self.schedule.get_or_insert_default().cron);
        self
    }

    fn every(mut self, every: u64) -> Self {
        self.schedule.get_or_insert_default().every = Some(seconds(every));
        self
    }

    fn overlap(mut self, policy: pb::OverlapPolicy) -> Self {
        self.set_overlap(policy);
        self
    }

    fn catch_up(mut self, mode: pb::CatchUpMode) -> Self {
        self.catch_up.get_or_insert_default().set_mode(mode);
        self
    }

    /// With a wait of exactly up to a second between them.
    fn attempts(mut self, max: i32) -> Self {
        self.retry = Some(pb::RetryPolicy {
            max_attempts: max,
            initial_backoff: Some(seconds(1)),
            max_backoff: Some(seconds(1)),
        });
        self
    }
}

pub(crate) fn seconds(seconds: u64) -> prost_types::Duration {
    Duration::from_secs(seconds).try_into().unwrap()
}

pub(crate) fn stamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

/// The instant that a message carries, in RFC 3339.
pub(crate) fn at(stamp: &Option<prost_types::Timestamp>) -> String {
    let stamp = stamp.as_ref().expect("an instant");
    let at = Timestamp::new(stamp.seconds, stamp.nanos).unwrap();
    at.to_string()
}
