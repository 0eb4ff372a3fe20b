//! A long crontab: what it takes to say of each of its lines what became of it.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};

use super::Scene;
use crate::report::{Goal, Report};

/// Lines of each family in turn; every second has something that is told.
const LINES: [&str; 10] = [
    "*/5 * * * * /usr/local/bin/poll --queue {n}",
    "{m} 2 * * * cd /srv/app{n} && ./bin/console cache:clear > /dev/null 2>&1",
    "0 4 * * 1-5 /opt/report/run.sh {n} | mail -s done ops@example.org",
    "# the invoices of customer {n}\n{m} 3 1 * * /opt/invoices {n}",
    "@daily find /var/tmp/{n} -mtime +7 -delete",
    "30 6 13 * 5 /opt/odd/{n}",
    "{m} */3 * * * php artisan schedule:run {n} >> /var/log/{n}.log",
    "MAILTO=team{n}@example.org",
    "{m} 1 * * * echo {n} | date +%F",
    "15 5 * * 0 pg_dump db{n} | gzip > /backup/{n}.sql.gz",
];

pub(super) fn measure(scene: &Scene, report: &mut Report) -> anyhow::Result<()> {
    let count = scene.size(10_000, 500);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("crontab");
    fs::write(&file, text(count))?;
    let (mut took, mut explained) = (Vec::new(), Vec::new());
    for _ in 0..scene.repeats(7) {
        took.push(import(&scene.program, &file, &[])?);
        explained.push(import(&scene.program, &file, &["--explain"])?);
    }
    let name = format!("crontab, {count} lines");
    let mut add = |metric, values: &[f64]| {
        let goal = Goal::AtMost(1.0);
        report.add(&name, "-", (metric, "s"), values, goal);
    };
    add("import-crontab", &took);
    add("import-crontab --explain", &explained);
    Ok(())
}

fn text(count: usize) -> String {
    let mut text = String::from("SHELL=/bin/sh\nHOME=/srv\n");
    let mut lines = 2;
    for (n, line) in LINES.iter().cycle().enumerate() {
        if count <= lines {
            break;
        }
        let line = line
            .replace("{n}", &n.to_string())
            .replace("{m}", &(n % 60).to_string());
        lines += line.lines().count();
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Seconds of the whole command, of which each entry must be told.
fn import(program: &Path, file: &Path, flags: &[&str]) -> anyhow::Result<f64> {
    let began = Instant::now();
    let done = Command::new(program)
        .args(["import-crontab", "--form", "user", "--time-zone", "UTC"])
        .args(flags)
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start {}", program.display()))?;
    let took = began.elapsed().as_secs_f64();
    let told = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{}: {told}", done.status);
    ensure!(told.contains("carried over"), "{told}");
    Ok(took)
}
