//! A crontab becomes a configuration that the server takes.

use super::harness::{Place, finish};

const CRONTAB: &str = "\
# what ran here for years
SHELL=/bin/bash
MAILTO=ada@example.org
GREETING=\"good morning\"
*/5 * * * * echo $GREETING | tee /dev/null
30 2 * * 1-5 /bin/cat%first line%second line
@reboot /bin/true
@daily /bin/echo 100\\% done
0 0 31 2 * /bin/true
";

#[test]
fn an_imported_crontab_is_served() {
    let place = Place::new("");
    let crontab = place.write("crontab", CRONTAB);
    let crontab = crontab.to_string_lossy();
    let mut import = place.program(env!("CARGO_BIN_EXE_watchbell"));
    import.args([
        "import-crontab",
        "--form",
        "user",
        "--time-zone",
        "Europe/Paris",
    ]);
    import.arg(&*crontab);
    let imported = finish(import);
    imported.assert_good();
    for text in [
        &*format!("left out: {crontab}:3: output goes to the run log"),
        &format!("left out: {crontab}:7: @reboot is not a time"),
        &format!("left out: {crontab}:9: \"0 0 31 2 *\" never fires"),
        "3 entries carried over, 3 lines left out",
    ] {
        assert!(imported.stderr.contains(text), "{}", imported.stderr);
    }

    place.configure(&imported.stdout);
    let server = place.serve();
    let listed = server.json(&["task", "list", "--all"]);
    let schedules: Vec<(&str, &str)> = listed["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|task| task["kind"] == "command")
        .map(|task| {
            let cron = task["schedule"]["cron"].as_str();
            (task["name"].as_str().unwrap(), cron.unwrap())
        })
        .collect();
    assert_eq!(
        schedules,
        [
            ("tasks/cat", "30 2 * * 1-5"),
            ("tasks/echo", "@daily"),
            ("tasks/tee", "*/5 * * * *")
        ]
    );
    for (task, log) in [
        ("cat", "first line\nsecond line\n"),
        ("echo", "100% done\n"),
        ("tee", "good morning\n"),
    ] {
        let run = server.trigger(task);
        server.waited(&run);
        assert_eq!(server.bellctl(&["run", "logs", &run]).stdout, log);
    }
    let info = server.json(&["info"]);
    assert_eq!(info["timeZone"], "Europe/Paris", "{info}");
}
