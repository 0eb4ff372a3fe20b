//! `bellctl schedule`: previews of schedules, saved or not.

use watchbell_client::pb::{Fire, PreviewScheduleRequest};

use crate::{
    args::{Format, PreviewArgs, ScheduleCommand, TimingArgs},
    commands::task_spec,
    exit::Exit,
    failure::Failure,
    name::TaskName,
    output::remark,
    session::{LARGEST_PAGE, Session, tell_not_all},
    table::Table,
    text::plain,
    time::{exact_length, from_proto},
};

/// Fires that are shown where nothing bounds them.
const FEW: u32 = 10;
/// Fires that are shown where a time bounds them.
const MANY: u32 = 1_000;

/// Does one of the commands.
pub(super) async fn run(session: &Session, command: &ScheduleCommand) -> Result<Exit, Failure> {
    match command {
        ScheduleCommand::Preview(args) => preview(session, args).await,
    }
}

async fn preview(session: &Session, args: &PreviewArgs) -> Result<Exit, Failure> {
    check(args)?;
    let zone = args.timing.time_zone.as_deref();
    let schedule = if says_when(&args.timing) {
        Some(task_spec::schedule(session, &args.timing)?)
    } else {
        None
    };
    let request = PreviewScheduleRequest {
        schedule,
        task: args
            .task
            .clone()
            .map(TaskName::into_resource)
            .unwrap_or_default(),
        after_time: session.instant(args.after.as_ref(), zone)?,
        until_time: session.instant(args.until.as_ref(), zone)?,
        page_size: 0,
        page_token: String::new(),
    };
    let count = args
        .count
        .unwrap_or(if args.until.is_some() { MANY } else { FEW });
    let (fires, more) = take(count, async |page_size, page_token| {
        let request = PreviewScheduleRequest {
            page_size,
            page_token,
            ..request.clone()
        };
        let response = session
            .ask(request, async |request| {
                session.client.tasks().preview_schedule(request).await
            })
            .await?;
        Ok((response.fires, response.next_page_token))
    })
    .await?;
    show(session, &fires, more)?;
    if more && !fires.is_empty() && args.until.is_some() {
        remark(&format!("only the first {count} are shown: raise --count"));
    }
    Ok(Exit::Good)
}

/// The first `count` items, however the server cuts its pages, and whether there are more.
async fn take<T>(
    count: u32,
    mut fetch: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Failure>,
) -> Result<(Vec<T>, bool), Failure> {
    let count = count as usize;
    let mut items: Vec<T> = Vec::new();
    let mut token = String::new();
    loop {
        let left = i32::try_from(count - items.len()).unwrap_or(LARGEST_PAGE);
        let (page, next) = fetch(left.min(LARGEST_PAGE), token.clone()).await?;
        items.extend(page);
        let full = items.len() >= count;
        let more = !next.is_empty() || items.len() > count;
        items.truncate(count);
        if full || next.is_empty() || next == token {
            return Ok((items, more));
        }
        token = next;
    }
}

fn show(session: &Session, fires: &[Fire], more: bool) -> Result<(), Failure> {
    if session.output.format == Format::Json {
        return session.output.json_list("fires", fires, "");
    }
    if fires.is_empty() && more {
        tell_not_all();
        return Ok(());
    }
    if fires.is_empty() {
        return session.output.line("it does not fire in this span");
    }
    let mut table = Table::new(&["LOCAL TIME", "UTC", "DUE", "NOTES"]);
    for fire in fires {
        let nominal = fire.nominal_time.as_ref().and_then(from_proto);
        let utc = nominal.map_or_else(|| "-".to_owned(), |nominal| nominal.to_string());
        table.row([
            plain(&fire.local_time).into(),
            utc.into(),
            delay(fire).into(),
            fire.reasons.join("; ").into(),
        ]);
    }
    session.output.table(table)
}

/// How long after its nominal time a fire is due.
fn delay(fire: &Fire) -> String {
    let nominal = fire.nominal_time.as_ref().and_then(from_proto);
    let due = fire.due_time.as_ref().and_then(from_proto);
    match (nominal, due) {
        (Some(nominal), Some(due)) if due > nominal => {
            let delay = due.duration_since(nominal).unsigned_abs();
            format!("{} later", exact_length(delay))
        }
        (Some(_), Some(_)) => "on time".to_owned(),
        (None, _) | (_, None) => "-".to_owned(),
    }
}

fn says_when(timing: &TimingArgs) -> bool {
    timing.cron.is_some() || timing.every.is_some() || timing.at.is_some()
}

/// A saved schedule is shown as it is saved.
fn check(args: &PreviewArgs) -> Result<(), Failure> {
    let timing = &args.timing;
    if args.task.is_none() && !says_when(timing) {
        return Err(Failure::Usage(
            "which schedule? say it with --cron, --every or --at, or with --task the one of a task"
                .to_owned(),
        ));
    }
    let bends = timing.phase.is_some()
        || timing.spread.is_some()
        || timing.start.is_some()
        || timing.end.is_some();
    if bends && !says_when(timing) {
        return Err(Failure::Usage(
            "--phase, --spread, --start and --end belong to a schedule: add --cron, --every or --at"
                .to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server with so many items, which hands out pages of three at most.
    async fn taken(count: u32, there_are: usize) -> (Vec<usize>, bool, Vec<i32>) {
        let mut sizes = Vec::new();
        let (items, more) = take(count, async |size, token| {
            sizes.push(size);
            let from: usize = token.parse().unwrap_or(0);
            let to = there_are.min(from + 3.min(size as usize));
            let next = if to < there_are {
                to.to_string()
            } else {
                String::new()
            };
            Ok(((from..to).collect(), next))
        })
        .await
        .unwrap();
        (items, more, sizes)
    }

    #[tokio::test]
    async fn pages_are_taken_until_there_are_enough() {
        let (items, more, sizes) = taken(7, 100).await;
        assert_eq!(items, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(sizes, [7, 4, 1]);
        assert!(more);
    }

    #[tokio::test]
    async fn a_schedule_that_ends_is_shown_to_its_end() {
        let (items, more, _) = taken(10, 4).await;
        assert_eq!(items.len(), 4);
        assert!(!more);
    }

    #[test]
    fn a_spread_is_told() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let fire = Fire {
            nominal_time: at(1_000),
            due_time: at(1_090),
            ..Fire::default()
        };
        assert_eq!(delay(&fire), "1 min 30 s later");
        let prompt = Fire {
            due_time: at(1_000),
            ..fire
        };
        assert_eq!(delay(&prompt), "on time");
    }
}
