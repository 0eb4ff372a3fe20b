//! `contrib/watchbell-mail`: mails what changes in the status, and nothing else.

use std::{fs, path::Path};

use super::{
    harness::{Done, Place, bellctl, eventually, finish},
    server::Server,
};
use crate::support::{program, skip};

const TASKS: &str = r#"
[commands.bad]
argv = ["/bin/false"]
[tasks.bad]
kind = "command"
parameters = { command = "bad" }
"#;

/// Takes mails as `sendmail` does; refuses them where there is a file `refuse`, and hangs where there is `hang`.
const SENDMAIL: &str =
    "#!/bin/sh\n[ ! -e hang ] || exec sleep 600\n[ ! -e refuse ] || exit 75\ncat >> mails\n";

fn mail(server: &Server<'_>, token: &Path) -> Done {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/watchbell-mail");
    // Only what hangs is waited for in vain.
    let within = match server.place.path("hang").exists() {
        true => "1",
        false => "60",
    };
    let mut command = server.place.program(script);
    command
        .args(["state", "ada@example.org", "bob@example.org"])
        .env("BELLCTL", bellctl())
        .env("SENDMAIL", server.place.path("sendmail"))
        .env("WATCHBELL_ENDPOINT", format!("http://{}", server.address()))
        .env("WATCHBELL_TOKEN_FILE", token)
        .env("ASK_AGAIN_AFTER", "0")
        .env("SEND_WITHIN", within);
    finish(command)
}

/// What one run of the script mails that shows this token.
#[track_caller]
fn mailed_by(server: &Server<'_>, token: &Path) -> String {
    mail(server, token).assert_good();
    let mails = server.place.path("mails");
    let text = fs::read_to_string(&mails).unwrap_or_default();
    let _ = fs::remove_file(&mails);
    text
}

#[track_caller]
fn mailed(server: &Server<'_>) -> String {
    mailed_by(server, &server.token_file)
}

#[test]
fn a_mail_tells_what_has_changed_and_none_that_nothing_has() {
    if !Path::new("/usr/bin/jq").exists() {
        return skip("mails of what changes", "there is no jq");
    }
    let place = Place::new(TASKS);
    program(&place.path("sendmail"), SENDMAIL);
    let server = place.serve();

    let first = mailed(&server);
    assert!(first.starts_with("To: ada@example.org, bob@example.org\nSubject: Watchbell on "));
    assert!(first.contains(": OK\n"), "{first}");
    assert_eq!(mailed(&server), "", "nothing has changed");

    for _ in 0..3 {
        server.bellctl(&["task", "trigger", "bad", "--wait"]);
    }
    let critical = eventually(|| (server.bellctl(&["status"]).code() == 2).then_some(()));
    assert!(critical.is_some(), "the status is never critical");
    place.write("refuse", "");
    assert_eq!(
        mail(&server, &server.token_file).code(),
        1,
        "nobody took the mail"
    );
    fs::remove_file(place.path("refuse")).unwrap();
    place.write("hang", "");
    let hangs = mail(&server, &server.token_file);
    assert_eq!(hangs.code(), 1, "{hangs:?}");
    fs::remove_file(place.path("hang")).unwrap();
    let failing = mailed(&server);
    for text in [
        ": CRITICAL (was OK)\n",
        "\nnew:  CRITICAL task.failing tasks/bad\n",
        "3 runs in a row have failed",
    ] {
        assert!(failing.contains(text), "{text}: {failing}");
    }
    assert_eq!(mailed(&server), "", "it was told");

    let state = fs::read_to_string(place.path("state")).unwrap();
    let (_, rest) = state.split_once('\n').unwrap();
    place.write("state", &format!("2020-01-01\n{rest}"));
    let reminder = mailed(&server);
    assert!(
        reminder.contains(": CRITICAL (was CRITICAL)\n"),
        "{reminder}"
    );

    let wrong = place.write("wrong", &"0".repeat(64));
    let unknown = mailed_by(&server, &wrong);
    for text in [": UNKNOWN (was CRITICAL)\n", "the token was refused"] {
        assert!(unknown.contains(text), "{text}: {unknown}");
    }
    let back = mailed(&server);
    assert!(back.contains(": CRITICAL (was UNKNOWN)\n"), "{back}");
}
