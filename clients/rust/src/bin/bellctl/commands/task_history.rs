//! `bellctl task backfill`, `slots` and `stats`: a task's past.

use watchbell_client::{
    call::request_id,
    pb::{
        BackfillTaskRequest, GetTaskStatisticsRequest, GetTaskStatisticsResponse, ListSlotsRequest,
        Slot, SlotOutcome, TaskFigures,
    },
};

use crate::{
    args::{BackfillArgs, Format, SlotsArgs},
    commands::{run_view, task_spec},
    exit::Exit,
    failure::Failure,
    label::label_of,
    name::{TaskName, short},
    output::Tint,
    session::{Session, pages, tell_more, tell_none},
    table::{Field, Table},
    time::{Clock, show_length},
};

type Count = fn(&TaskFigures) -> i64;
type LengthOf = fn(&TaskFigures) -> Option<prost_types::Duration>;

/// Queues a run for each slot of a span.
pub(super) async fn backfill(session: &Session, args: &BackfillArgs) -> Result<Exit, Failure> {
    let zone = args.time_zone.as_deref();
    let request = BackfillTaskRequest {
        name: args.name.clone().into_resource(),
        start_time: session.instant(Some(&args.from), zone)?,
        end_time: session.instant(Some(&args.to), zone)?,
        max_count: args.max,
        validate_only: args.validate_only,
        dry_run: args.dry_run,
        reason: args.reason.clone(),
        parameters: task_spec::values(None, &args.values)?,
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().backfill_task(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
        return Ok(Exit::Good);
    }
    let count = response.run_count;
    let done = if args.validate_only {
        "would queue"
    } else {
        "queued"
    };
    session.output.line(&format!("{done} {count} runs"))?;
    if !response.runs.is_empty() {
        session.output.table(run_view::backfilled(
            &session.clock,
            &response.runs,
            !args.validate_only,
        ))?;
    }
    Ok(Exit::Good)
}

/// What became of the slots.
pub(super) async fn slots(session: &Session, args: &SlotsArgs) -> Result<Exit, Failure> {
    let request = ListSlotsRequest {
        task: args.name.clone().into_resource(),
        page_size: args.page.bite(),
        page_token: String::new(),
        outcomes: args.outcome.iter().map(|&outcome| outcome.into()).collect(),
    };
    let first = args.page.page_token.clone();
    let (slots, next) = pages(args.page.all, first, async |page_token| {
        let request = ListSlotsRequest {
            page_token,
            ..request.clone()
        };
        let response = session
            .ask(request, async |request| {
                session.client.tasks().list_slots(request).await
            })
            .await?;
        Ok((response.slots, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("slots", &slots, &next)?;
        return Ok(Exit::Good);
    }
    if slots.is_empty() {
        tell_none(session, "no slots", &next)?;
    } else {
        session.output.table(slots_table(&session.clock, &slots))?;
        tell_more(&next);
    }
    Ok(Exit::Good)
}

fn slots_table(clock: &Clock, slots: &[Slot]) -> Table {
    let mut table = Table::new(&["UP TO", "OUTCOME", "SLOTS", "FIRST", "LAST", "RUN", "WHY"]);
    for slot in slots {
        let tint = match SlotOutcome::try_from(slot.outcome) {
            Ok(SlotOutcome::Dispatched) => Tint::Good,
            Ok(SlotOutcome::Coalesced | SlotOutcome::Pruned) => Tint::Plain,
            Ok(_) | Err(_) => Tint::Warning,
        };
        table.row([
            clock.show(slot.upto_time.as_ref()).into(),
            Field::tinted(label_of::<SlotOutcome>(slot.outcome), tint),
            slot.count.to_string().into(),
            clock.show(slot.first_nominal_time.as_ref()).into(),
            clock.show(slot.last_nominal_time.as_ref()).into(),
            short(&slot.run).into(),
            (&slot.reason).into(),
        ]);
    }
    table
}

/// Figures of the runs.
pub(super) async fn statistics(session: &Session, name: &TaskName) -> Result<Exit, Failure> {
    let request = GetTaskStatisticsRequest {
        name: name.clone().into_resource(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().get_task_statistics(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        session.output.table(statistics_table(&response))?;
        let next = session.clock.show(response.next_due_time.as_ref());
        let failures = response.consecutive_failures;
        session
            .output
            .line(&format!("\nnext due {next}; {failures} failures in a row"))?;
    }
    Ok(Exit::Good)
}

fn statistics_table(response: &GetTaskStatisticsResponse) -> Table {
    let day = response.last_day.unwrap_or_default();
    let week = response.last_week.unwrap_or_default();
    let mut table = Table::new(&["", "LAST 24 H", "LAST 7 D"]);
    let counts: [(&str, Count); 5] = [
        ("runs", |figures| figures.runs),
        ("successes", |figures| figures.successes),
        ("partial", |figures| figures.partial),
        ("failures", |figures| figures.failures),
        ("cancelled", |figures| figures.cancelled),
    ];
    for (label, count) in counts {
        table.row([
            label.into(),
            count(&day).to_string().into(),
            count(&week).to_string().into(),
        ]);
    }
    let lengths: [(&str, LengthOf); 6] = [
        ("took, half", |figures| figures.duration_p50),
        ("took, 95 %", |figures| figures.duration_p95),
        ("took, longest", |figures| figures.duration_max),
        ("started late, half", |figures| figures.start_latency_p50),
        ("started late, 95 %", |figures| figures.start_latency_p95),
        ("started late, latest", |figures| figures.start_latency_max),
    ];
    for (label, length) in lengths {
        let [day, week] = [length(&day), length(&week)].map(|length| show_length(length.as_ref()));
        table.row([label.into(), day.into(), week.into()]);
    }
    if day.sampled || week.sampled {
        let sampled = |figures: &TaskFigures| {
            if figures.sampled {
                "newest 10,000"
            } else {
                "all"
            }
        };
        table.row([
            "of the runs".into(),
            sampled(&day).into(),
            sampled(&week).into(),
        ]);
    }
    table
}
