//! The kinds that ship, through the real server. Requests have a file of their own.

use watchbell_client::pb;

use crate::support::{Database, Site, on_both, until};

on_both!(the_health_check_measures_and_raises_problems_by_its_thresholds,);

async fn the_health_check_measures_and_raises_problems_by_its_thresholds(database: Database) {
    // Disks are never that empty, and loads never that low.
    let strict = "[health]\ndisk_free_percent = { warning = 100.0, critical = 0.0 }\n";
    let mut site = Site::configured(database, strict);
    let server = site.start().await;
    let run = server.trigger("perform-system-health-check").await;
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    for measure in [
        "disk_free_percent",
        "memory_available_percent",
        "queue_depth",
        "late_slots",
    ] {
        assert!(
            run.counters.contains_key(measure),
            "{measure}: {:?}",
            run.counters
        );
    }
    let problem = server.problem("health.disk_free_percent").await;
    assert_eq!(problem.severity(), pb::Severity::Warning);
    assert!(problem.message.contains("below 100"), "{}", problem.message);
    server.stop().await;

    let lax = "[health]\ndisk_free_percent = { warning = 0.0, critical = 0.0 }\n";
    site.configure(lax);
    let server = site.start().await;
    let run = server.trigger("perform-system-health-check").await;
    server.ended(&run.name).await;
    until("the problem to be over", async || {
        let problems = server.status().await.problems;
        let open = |problem: &pb::Problem| problem.r#type == "health.disk_free_percent";
        (!problems.iter().any(open)).then_some(())
    })
    .await;
    server.stop().await;
}
