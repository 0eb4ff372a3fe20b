//! The rules of time zones, which an update of the host's tz database changes while a server runs or is down.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{
    harness::{Done, Place, becomes, eventually, finish, postgresql},
    server::Server,
    zoneinfo::{ZONE, Zoneinfo},
};

const HOUR: i32 = 3600;

/// A task that fires once a day, at this instant where the zone is at UTC, and one that fires each second.
fn tasks(daily: Timestamp) -> String {
    let local = daily.to_zoned(TimeZone::UTC);
    let (hour, minute, second) = (local.hour(), local.minute(), local.second());
    format!(
        r#"
[commands.true]
argv = ["/bin/true"]
[tasks.daily]
kind = "command"
parameters = {{ command = "true" }}
schedule = {{ cron = "{second} {minute} {hour} * * *", time_zone = "{ZONE}" }}
[tasks.each-second]
kind = "command"
parameters = {{ command = "true" }}
schedule = {{ cron = "* * * * * *", time_zone = "{ZONE}" }}
"#
    )
}

fn serve<'a>(place: &'a Place, zoneinfo: &Zoneinfo, flags: &[&str]) -> Server<'a> {
    let mut all = vec!["--listen", "127.0.0.1:0"];
    all.extend(flags);
    let mut command = place.watchbell("serve", &all);
    let (name, folder) = zoneinfo.variable();
    command.env(name, folder);
    place.serve_by(command, "data")
}

fn audit(place: &Place, zoneinfo: &Zoneinfo) -> Done {
    let mut command = place.watchbell("audit-slots", &[]);
    let (name, folder) = zoneinfo.variable();
    command.env(name, folder);
    finish(command)
}

fn next_due(server: &Server<'_>) -> Timestamp {
    let task = server.json(&["task", "show", "daily"]);
    task["task"]["nextDueTime"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

/// The slots of the daily task that ran.
fn ran(server: &Server<'_>) -> Vec<Value> {
    let slots = server.json(&["task", "slots", "daily"]);
    let slots = slots["slots"].as_array().cloned().unwrap_or_default();
    let ran = slots
        .into_iter()
        .filter(|slot| slot["outcome"] == "SLOT_OUTCOME_DISPATCHED");
    ran.collect()
}

#[test]
fn an_update_of_the_tz_database_is_planned_by_while_the_server_runs_and_at_its_start() {
    // Whole seconds, as slots are.
    let now = Timestamp::from_second(watchbell::clock::wall_now().as_second()).unwrap();
    let noticed = SignedDuration::from_secs(30);
    let late = now + SignedDuration::from_hours(2);
    let place = Place::new(&tasks(late));
    let zoneinfo = Zoneinfo::new(place.path("zoneinfo"), "2099a", 0);
    let server = serve(&place, &zoneinfo, &[]);
    assert_eq!(next_due(&server), late);
    becomes("some slots to be decided by the old rules", || {
        let status = server.json(&["status"]);
        assert_eq!(status["status"]["scheduler"]["tzdataVersion"], "2099a");
        let slots = server.json(&["task", "slots", "each-second"]);
        3 <= slots["slots"].as_array().map_or(0, Vec::len)
    });

    // The clocks of that zone are put forward, so that the same time of day comes soon.
    let soon = Timestamp::from_second(watchbell::clock::wall_now().as_second()).unwrap() + noticed;
    let forward = i32::try_from(late.duration_since(soon).as_secs()).unwrap();
    zoneinfo.update("2099b", forward);
    // Where the machine is busy, that is seen when it has run.
    becomes("the task to be planned anew", || {
        next_due(&server) == soon || !ran(&server).is_empty()
    });
    becomes("its slot to run", || !ran(&server).is_empty());
    let slots = ran(&server);
    assert_eq!(slots.len(), 1, "{slots:?}");
    assert_eq!(slots[0]["tzdataVersion"], "2099b");
    let upto: Timestamp = slots[0]["uptoTime"].as_str().unwrap().parse().unwrap();
    assert_eq!(upto, soon);
    let status = server.json(&["status"]);
    assert_eq!(status["status"]["scheduler"]["tzdataVersion"], "2099b");
    server.stop();

    // What was decided by the old rules is not compared, and that is said.
    let audited = audit(&place, &zoneinfo);
    audited.assert_good();
    let line = audited
        .stdout
        .lines()
        .find(|line| line.starts_with("not compared") && line.contains("2099a"));
    let line = line.unwrap_or_else(|| panic!("{audited:?}"));
    let rows = line.split(' ').find_map(|word| word.parse::<u64>().ok());
    assert!(rows.is_some_and(|rows| 3 <= rows), "{line}");
    assert!(
        audited.stdout.contains(" rows of them not compared"),
        "{audited:?}"
    );
    assert!(audited.stdout.ends_with(": 0 findings\n"), "{audited:?}");

    // While it is down, they are put back.
    zoneinfo.update("2099c", 0);
    let server = serve(&place, &zoneinfo, &[]);
    becomes("the task to be planned at the start", || {
        next_due(&server) == late
    });
    assert_eq!(ran(&server).len(), 1);
    server.stop();
    let audited = audit(&place, &zoneinfo);
    assert!(audited.stdout.ends_with(": 0 findings\n"), "{audited:?}");
}

#[test]
fn replicas_with_other_rules_are_told_and_the_newer_ones_are_planned_by() {
    let Some((_runtime, database)) = postgresql() else {
        return;
    };
    let now = Timestamp::from_second(watchbell::clock::wall_now().as_second()).unwrap();
    let at = now + SignedDuration::from_hours(5);
    let place = Place::new(&tasks(at));
    let newer = Zoneinfo::new(place.path("newer"), "2099b", HOUR);
    let older = Zoneinfo::new(place.path("older"), "2099a", 0);
    let url = database.url();
    let one = serve(&place, &older, &["--database", &url]);
    assert_eq!(next_due(&one), at);
    let other = serve(&place, &newer, &["--database", &url]);
    let sooner = at - SignedDuration::from_hours(1);
    becomes("the newer rules to be planned by", || {
        next_due(&one) == sooner
    });

    let told = |kind: &str| {
        let status = one.json(&["status"]);
        let problems = status["status"]["problems"].as_array().cloned();
        problems
            .unwrap_or_default()
            .into_iter()
            .find(|problem| problem["type"] == kind)
    };
    let problem = eventually(|| told("replica.tzdata"));
    let problem = problem.expect("the difference to be a problem");
    assert_eq!(problem["severity"], "SEVERITY_CRITICAL", "{problem}");
    let message = problem["message"].as_str().unwrap();
    for word in ["2099a", "2099b", ZONE] {
        assert!(message.contains(word), "{message}");
    }
    for server in [&one, &other] {
        becomes("the difference to be drift", || {
            let drift = server.json(&["drift"]);
            drift.to_string().contains("REPLICA_TZDATA")
        });
    }
    becomes("what it leaves alone to be told", || {
        let drift = one.json(&["drift"]);
        drift.to_string().contains("PLAN_TZDATA")
    });

    older.update("2099b", HOUR);
    becomes("the problem to be over", || {
        told("replica.tzdata").is_none()
    });
    becomes("the drift to be over", || {
        let drift = one.json(&["drift"]).to_string();
        !drift.contains("_TZDATA")
    });
    assert_eq!(next_due(&one), sooner);
    one.stop();
    other.stop();
}
