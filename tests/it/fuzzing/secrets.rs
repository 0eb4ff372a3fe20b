//! Secrets that stand where they belong, or nearly: no refusal shows them.

use watchbell::config::Config;

use super::file::written;

const SECRET: &str = "hunter2";
/// A file with one value that is a secret, or holds one.
const PLACES: [&str; 13] = [
    "database = VALUE",
    "[secrets]\nvault = VALUE",
    "[secrets.vault]\nvalue = VALUE",
    "[commands.job]\nargv = VALUE",
    "[commands.job]\nargv = [\"/bin/true\", VALUE]",
    "[commands.job]\nargv = [\"/bin/true\"]\nstdin = VALUE",
    "[commands.job]\nargv = [\"/bin/true\"]\nenvironment = VALUE",
    "[commands.job]\nargv = [\"/bin/true\"]\nenvironment = { DB_PASSWORD = VALUE }",
    "[http_requests.ping]\nurl = VALUE",
    "[http_requests.ping]\nurl = \"http://h/\"\nbody = VALUE",
    "[http_requests.ping]\nurl = \"http://h/\"\nheaders = VALUE",
    "[http_requests.ping]\nurl = \"http://h/\"\nheaders = { Authorization = VALUE }",
    "[http_requests.ping]\nurl = \"http://h/\"\nsecret_headers = { Authorization = VALUE }",
];
const VALUES: [&str; 16] = [
    "\"hunter2\"",
    "'hunter2'",
    "\"hunter2",
    "hunter2",
    "\"\"\"hunter2",
    "\"hunter2\\q\"",
    "\"hunter2\" \"",
    "[\"hunter2\"]",
    "{ x = \"hunter2\" }",
    "{ secret = \"hunter2\" }",
    "{ \"DB_PASSWORD=hunter2\" = \"\" }",
    "[\"DB_PASSWORD=hunter2\", \"/bin/true\"]",
    "\"postgres://ada:hunter2@db/watchbell",
    "\"postgres//ada:hunter2@db/watchbell\"",
    "\"ftp://ada:hunter2@db/watchbell\"",
    "[[\"hunter2\"",
];
const BESIDE: [&str; 6] = [
    "",
    "max_running = \"many\"",
    "max_runing = 3",
    "lease = ",
    "[log]\nformat = 3",
    "time_zone = \"Mars\"",
];

#[test]
fn no_refusal_of_a_configuration_shows_a_secret() {
    for (place, value) in each(&PLACES, &VALUES) {
        // What is to be started is shown: a program is no place for a secret.
        if place.ends_with("argv = VALUE") && value == "[\"hunter2\"]" {
            continue;
        }
        for (above, below) in each(&BESIDE, &BESIDE) {
            let text = format!("{above}\n{}\n{below}\n", place.replace("VALUE", value));
            let (_place, flags) = written(text.as_bytes());
            if let Err(error) = Config::load(&flags) {
                let (shown, debugged) = (format!("{error:#}"), format!("{error:?}"));
                assert!(!shown.contains(SECRET), "{text}{shown}");
                assert!(!debugged.contains(SECRET), "{text}{debugged}");
            }
        }
    }
}

fn each<'a>(these: &'a [&str], those: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    let with = |this| those.iter().map(move |that| (this, *that));
    these.iter().flat_map(move |this| with(*this))
}
