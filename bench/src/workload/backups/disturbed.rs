//! Times from a trigger to its start while a backup runs.

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use watchbell_client::pb;

use super::ours::Ours;
use crate::{
    calls::{entered_at, expect_outcome, millis},
    figures,
};

/// Triggers that there have to be: the slowest of few says little.
const TRIGGERS: usize = 20;

/// Triggers for as long as a first backup runs: the p99 in milliseconds, from the call to the handler's entry.
pub(super) async fn disturbed(me: &Ours) -> anyhow::Result<f64> {
    let client = me.server.connect().await?;
    let request = pb::RunBackupRequest {
        name: "backupPolicies/more".to_owned(),
        ..Default::default()
    };
    let mut backups = me.client.backups();
    let asked = backups.run_backup(request).await?.into_inner();
    let backup = asked.run.context("a run")?.name;
    let mut waits = Vec::new();
    let ended = loop {
        let called_at = Timestamp::now();
        let triggered = client.trigger("trigger-00000").await?;
        let nothing = pb::RunOutcome::NothingToDo;
        let triggered = client.ended_with(&triggered.name, nothing).await?;
        let entered = entered_at(&triggered).context("a handler that says when it was entered")?;
        let get = pb::GetRunRequest {
            name: backup.clone(),
        };
        let state = client.runs().get_run(get).await?.into_inner().run;
        let state = state.context("a run")?;
        if state.finish_time.is_some() {
            break state;
        }
        // While it waits for its place, it is in nobody's way.
        if state.state() == pb::RunState::Running {
            waits.push(millis(called_at, entered));
        }
    };
    expect_outcome(&ended, pb::RunOutcome::Worked)?;
    if waits.len() < TRIGGERS {
        bail!("the backup was over after {} triggers", waits.len());
    }
    let least = figures::least(&waits);
    ensure!(0.0 < least, "a clock was set: {least} ms until an entry");
    Ok(figures::percentile(&waits, 99.0))
}
