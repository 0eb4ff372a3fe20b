//! Registers: a hundred thousand rows brought in, once more, and out again; and what memory that takes.

use std::{process::Command, time::Instant};

use anyhow::{Context as _, bail};
use watchbell_client::pb::{
    self, import_documents_request::Message as Said, import_documents_response::Message as Told,
};

use super::Scene;
use crate::{
    calls::Client,
    database::Kind,
    machine,
    report::{Goal, Report},
    server::{Server, Site},
};

/// Rows in a message.
const ROWS: usize = 500;

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let count = scene.size(100_000, 5_000);
    let (mut first, mut again, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let (mut peaks, mut more, mut sheets) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scene.repeats(3) {
        // A server of its own each time: a process never gives its peak back.
        let site = Site::new(&scene.program, kind, "").await?;
        let server = site.start().await?;
        let client = server.connect().await?;
        let before = machine::resident_mib(server.id())?;

        let began = Instant::now();
        let told = import(&client, "SOP", count).await?;
        first.push(began.elapsed().as_secs_f64());
        let peak = machine::peak_mib(server.id())?;
        peaks.push(peak - before);
        if told.created_count != count as i64 {
            bail!("{count} documents should have been made: {told:?}");
        }

        let began = Instant::now();
        let told = import(&client, "SOP", count).await?;
        again.push(began.elapsed().as_secs_f64());
        if told.unchanged_count != count as i64 {
            bail!("{count} documents should have been there: {told:?}");
        }

        let began = Instant::now();
        let exported = export(&client).await?;
        out.push(began.elapsed().as_secs_f64());
        if exported != count {
            bail!("{count} documents should have been exported, not {exported}");
        }

        // By now the ring of events and the caches hold what they ever will.
        let told = import(&client, "WI", count).await?;
        if told.created_count != count as i64 {
            bail!("{count} more documents should have been made: {told:?}");
        }
        more.push(machine::peak_mib(server.id())? - peak);
        server.stop().await?;
        site.remove().await?;

        let site = Site::new(&scene.program, kind, "").await?;
        let server = site.start().await?;
        sheets.push(sheet(scene, &site, &server, count)?);
        server.stop().await?;
        site.remove().await?;
    }
    let name = format!("register, {count} rows");
    let mut add = |metric, unit, values: &[f64], goal| {
        report.add(&name, kind, (metric, unit), values, goal);
    };
    add("import", "s", &first, Goal::AtMost(30.0));
    add(
        "memory that it adds at its peak",
        "MiB",
        &peaks,
        Goal::AtMost(30.0),
    );
    add(
        "memory that another one adds to that",
        "MiB",
        &more,
        Goal::None,
    );
    add("import of the same again", "s", &again, Goal::AtMost(30.0));
    add("export", "s", &out, Goal::None);
    add(
        "import of a spreadsheet's file by bellctl",
        "s",
        &sheets,
        Goal::AtMost(5.0),
    );
    Ok(())
}

/// Seconds that bellctl takes for a file as a German spreadsheet writes it: Windows-1252, semicolons, columns and days of
/// its own.
fn sheet(scene: &Scene, site: &Site, server: &Server, count: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("register.csv");
    let mut text = b"Nummer;Titel;Status;Author;Reviewer;Approver;Effective Date;\r\n".to_vec();
    for index in 0..count {
        let (day, month, year) = (1 + index % 28, 1 + index % 9, 2010 + index % 15);
        text.extend(format!("SOP-{index:07};Pr").into_bytes());
        // An ü and a dash.
        text.push(0xfc);
        text.extend(b"fanweisung ");
        text.push(0x96);
        let rest = format!(" Teil {index};EFFECTIVE;ann;rex;pat;{day:02}.{month:02}.{year};\r\n");
        text.extend(rest.into_bytes());
    }
    std::fs::write(&file, text)?;
    let bellctl = scene.program.with_file_name("bellctl");
    let began = Instant::now();
    let done = Command::new(&bellctl)
        .args(["--endpoint", &server.endpoint, "--token-file"])
        .arg(site.data().join("token"))
        .args([
            "document",
            "import",
            "--as",
            "ann",
            "--map",
            "Nummer=number",
        ])
        .args(["--map", "Titel=title", "--date-format", "31.12.2026"])
        .arg(&file)
        .output()
        .with_context(|| format!("could not start {}", bellctl.display()))?;
    let took = began.elapsed().as_secs_f64();
    let told = String::from_utf8_lossy(&done.stdout);
    let expected = format!("created {count}, unchanged 0, bad 0 of {count} rows");
    if !done.status.success() || !told.contains(&expected) {
        let complaint = String::from_utf8_lossy(&done.stderr);
        bail!("{}: {told}\n{complaint}", done.status);
    }
    Ok(took)
}

/// Ten columns are filled. Of three rows one depends on two others, most of them further down, and one supersedes the
/// one before it.
fn row(prefix: &str, index: usize, count: usize) -> pb::DocumentRow {
    let number = |index: usize| format!("{prefix}-{:07}", index % count / 3 * 3);
    let superseding = index % 3 == 2;
    let number_of = match superseding {
        true => format!("{prefix}-{:07}", index - 1),
        false => format!("{prefix}-{index:07}"),
    };
    pb::DocumentRow {
        line: index as i64 + 2,
        number: number_of.clone(),
        title: format!("A document about something, number {index}"),
        document_type: if index.is_multiple_of(2) {
            "SOP"
        } else {
            "Policy"
        }
        .to_owned(),
        version_major: if superseding { "2" } else { "1" }.to_owned(),
        version_minor: "0".to_owned(),
        status: if index % 3 == 1 {
            "SUPERSEDED"
        } else {
            "EFFECTIVE"
        }
        .to_owned(),
        author: "ann".to_owned(),
        reviewer: "rex".to_owned(),
        approver: "pat".to_owned(),
        effective_date: format!("20{:02}-0{}-15", 10 + index % 15, 1 + index % 9),
        supersedes: match superseding {
            true => format!("{number_of}@1.0"),
            false => String::new(),
        },
        depends_on: match index.is_multiple_of(3) && index + 99 < count {
            true => format!("{};{}", number(index + 30), number(index + 90)),
            false => String::new(),
        },
        ..Default::default()
    }
}

async fn import(
    client: &Client,
    prefix: &'static str,
    count: usize,
) -> anyhow::Result<pb::ImportSummary> {
    let header = pb::ImportHeader {
        actor: "ann".to_owned(),
        validate_only: false,
        ..Default::default()
    };
    let rows = (0..count.div_ceil(ROWS)).map(move |message| {
        let from = message * ROWS;
        let rows = from..count.min(from + ROWS);
        Said::Rows(pb::ImportRows {
            rows: rows.map(|index| row(prefix, index, count)).collect(),
        })
    });
    let said = std::iter::once(Said::Header(header)).chain(rows);
    let said = said.map(|message| pb::ImportDocumentsRequest {
        message: Some(message),
    });
    let mut documents = client.documents();
    let answers = documents.import_documents(tokio_stream::iter(said)).await?;
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await? {
        match answer.message {
            Some(Told::Summary(summary)) => return Ok(summary),
            Some(Told::BadRow(row)) => bail!("a row that should be good: {row:?}"),
            Some(Told::Progress(_) | Told::Note(_)) | None => {}
        }
    }
    None.context("an import without a summary")
}

async fn export(client: &Client) -> anyhow::Result<usize> {
    let mut documents = client.documents();
    let answers = documents.export_documents(pb::ExportDocumentsRequest {});
    let mut answers = answers.await?.into_inner();
    let mut count = 0;
    while let Some(answer) = answers.message().await? {
        count += answer.rows.len();
    }
    Ok(count)
}
