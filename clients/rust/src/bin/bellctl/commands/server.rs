//! `bellctl info`, `replicas` and `drift`.

use watchbell_client::pb::{
    GetDriftRequest, GetServerInfoRequest, GetServerInfoResponse, ListReplicasRequest, Replica,
};

use crate::{
    args::{DriftArgs, Format},
    exit::Exit,
    failure::Failure,
    name::short,
    output::{Tint, remark},
    session::{LARGEST_PAGE, Session, pages, tell_none},
    table::{Field, Table},
};

/// What the server is.
pub(super) async fn info(session: &Session) -> Result<Exit, Failure> {
    let info = session
        .ask(GetServerInfoRequest {}, async |request| {
            session.client.scheduler().get_server_info(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&info)?;
        return Ok(Exit::Good);
    }
    session.output.table(info_list(session, &info))?;
    if !info.kinds.is_empty() {
        let mut kinds = Table::new(&["KIND", "WHAT IT DOES"]);
        for kind in &info.kinds {
            kinds.row([(&kind.name).into(), (&kind.description).into()]);
        }
        session.output.line("")?;
        session.output.table(kinds)?;
    }
    Ok(Exit::Good)
}

fn info_list(session: &Session, info: &GetServerInfoResponse) -> Table {
    let clock = &session.clock;
    let mut list = Table::list();
    list.entry("version", &info.version);
    list.entry("storage", &info.storage);
    list.entry("zone", &info.time_zone);
    list.entry("tz database", &info.tzdata_version);
    list.entry("replica", &info.replica);
    list.entry("cluster", &info.cluster_id);
    list.entry("time", clock.show(info.time.as_ref()));
    list.entry("started", clock.show(info.start_time.as_ref()));
    if let Some(limits) = &info.limits {
        list.entry("runs at once", limits.max_running.to_string());
        list.entry("largest page", limits.max_page_size.to_string());
        list.entry(
            "largest request",
            format!("{} bytes", limits.max_request_bytes),
        );
        list.entry(
            "log kept",
            format!("{} bytes an attempt", limits.max_log_bytes),
        );
    }
    list
}

/// The servers that share the database.
pub(super) async fn replicas(session: &Session) -> Result<Exit, Failure> {
    let (replicas, next) = pages(true, String::new(), async |page_token| {
        let request = ListReplicasRequest {
            page_size: LARGEST_PAGE,
            page_token,
        };
        let response = session
            .ask(request, async |request| {
                session.client.scheduler().list_replicas(request).await
            })
            .await?;
        Ok((response.replicas, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("replicas", &replicas, &next)?;
    } else if replicas.is_empty() {
        tell_none(session, "no replicas", &next)?;
    } else {
        session.output.table(replicas_table(session, &replicas))?;
    }
    Ok(Exit::Good)
}

fn replicas_table(session: &Session, replicas: &[Replica]) -> Table {
    let header = [
        "REPLICA",
        "STATE",
        "HOST",
        "PROCESS",
        "VERSION",
        "STARTED",
        "SEEN",
        "CONFIGURATION",
    ];
    let mut table = Table::new(&header);
    for replica in replicas {
        let state = match (replica.alive, replica.self_) {
            (true, true) => Field::tinted("alive, answers you", Tint::Good),
            (true, false) => Field::tinted("alive", Tint::Good),
            (false, _) => Field::tinted("silent", Tint::Warning),
        };
        table.row([
            short(&replica.name).into(),
            state,
            (&replica.host).into(),
            replica.process_id.to_string().into(),
            (&replica.version).into(),
            session.clock.show(replica.start_time.as_ref()).into(),
            session.clock.show(replica.seen_time.as_ref()).into(),
            replica
                .configuration_hash
                .chars()
                .take(12)
                .collect::<String>()
                .into(),
        ]);
    }
    table
}

/// Where what runs differs from what is configured, and how much of that is left off.
pub(super) async fn drift(session: &Session, args: &DriftArgs) -> Result<Exit, Failure> {
    let (mut left_off, mut may_be_more) = (0, false);
    let (items, next) = pages(args.all, args.page_token.clone(), async |page_token| {
        let request = GetDriftRequest {
            page_size: LARGEST_PAGE,
            page_token,
        };
        let response = session
            .ask(request, async |request| {
                session.client.scheduler().get_drift(request).await
            })
            .await?;
        left_off = response.left_off_count;
        may_be_more = response.left_off_may_be_more;
        Ok((response.items, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("items", &items, &next)?;
    } else if items.is_empty() && next.is_empty() {
        session
            .output
            .line("no drift: everything is as configured")?;
    } else {
        let mut table = Table::new(&["SUBJECT", "TYPE", "WHAT IS SO", "SINCE", "BY"]);
        for item in &items {
            table.row([
                (&item.subject).into(),
                (&item.r#type).into(),
                (&item.message).into(),
                session.clock.show(item.since_time.as_ref()).into(),
                (&item.principal).into(),
            ]);
        }
        session.output.table(table)?;
        if !next.is_empty() {
            remark(&left_off_line(left_off, may_be_more));
        }
    }
    Ok(Exit::Good)
}

/// How much a list of what differs leaves off; there may be more than the server has counted.
fn left_off_line(tasks: i64, may_be_more: bool) -> String {
    let at_least = if may_be_more { "at least " } else { "" };
    let tasks = match tasks {
        // None of those that were counted.
        0 => return "left off: tasks that were not looked at yet; --all looks at them".to_owned(),
        1 => "1 more task that was changed, or does".to_owned(),
        tasks => format!("{tasks} more tasks that were changed, or do"),
    };
    format!("left off: {at_least}{tasks} the work of another; --all shows them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_what_differs_says_how_much_it_leaves_off() {
        let told = |tasks| left_off_line(tasks, false);
        assert!(told(1).starts_with("left off: 1 more task that "));
        assert!(told(7).starts_with("left off: 7 more tasks that "));
        let more = left_off_line(10_003, true);
        assert!(more.starts_with("left off: at least 10003 more tasks that "));
        assert!(!left_off_line(0, true).contains('0'));
    }
}
