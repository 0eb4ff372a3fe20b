//! `bellctl backup ls` and `cat`: what is in a restore point, and single files of it.

use std::io::Write as _;

use tonic::Status;
use watchbell_client::pb::{
    ListRestorePointEntriesRequest, ReadRestorePointFileRequest, ReadRestorePointFileResponse,
    RestorePointEntry, RestorePointEntryKind, read_restore_point_file_response::Message,
};

use crate::{
    args::{CatArgs, Format, LsArgs},
    commands::{backup::resolved, backup_show::bytes},
    exit::Exit,
    failure::Failure,
    name::short,
    pending_file::PendingFile,
    progress::{BytesBar, unless_interrupted},
    session::{Session, pages, tell_more, tell_none},
    stdout::Data,
    table::Table,
    text::plain,
};

pub(super) async fn ls(session: &Session, args: &LsArgs) -> Result<Exit, Failure> {
    let request = ListRestorePointEntriesRequest {
        name: resolved(session, &args.point).await?,
        path: args.path.clone(),
        page_size: args.page.bite(),
        page_token: String::new(),
    };
    let first = args.page.page_token.clone();
    let (entries, next) = pages(args.page.all, first, async |page_token| {
        let request = ListRestorePointEntriesRequest {
            page_token,
            ..request.clone()
        };
        let response = session
            .ask(request, async |request| {
                let mut backups = session.client.backups();
                backups.list_restore_point_entries(request).await
            })
            .await?;
        Ok((response.entries, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("entries", &entries, &next)?;
        return Ok(Exit::Good);
    }
    let mut table = Table::new(&["MODE", "OWNER", "SIZE", "CHANGED", "PATH"]);
    for entry in &entries {
        table.row([
            mode(entry).into(),
            owner(entry).into(),
            match entry.kind() {
                RestorePointEntryKind::File => bytes(entry.size_bytes).into(),
                _ => "-".into(),
            },
            session.clock.show(entry.modify_time.as_ref()).into(),
            match entry.kind() {
                RestorePointEntryKind::Link => format!("{} -> {}", entry.path, entry.link_target),
                _ => entry.path.clone(),
            }
            .into(),
        ]);
    }
    match entries.is_empty() {
        true => tell_none(session, "nothing is in it", &next)?,
        false => {
            session.output.table(table)?;
            tell_more(&next);
        }
    }
    Ok(Exit::Good)
}

/// As `ls -l` has it: the kind, and four digits.
fn mode(entry: &RestorePointEntry) -> String {
    let kind = match entry.kind() {
        RestorePointEntryKind::Directory => 'd',
        RestorePointEntryKind::Link => 'l',
        RestorePointEntryKind::Special => 's',
        RestorePointEntryKind::File | RestorePointEntryKind::Unspecified => '-',
    };
    format!("{kind}{:04o}", entry.mode & 0o7777)
}

fn owner(entry: &RestorePointEntry) -> String {
    match (entry.uid, entry.gid) {
        (Some(user), Some(group)) => format!("{user}:{group}"),
        _ => "-".to_owned(),
    }
}

pub(super) async fn cat(session: &Session, args: &CatArgs) -> Result<Exit, Failure> {
    let request = ReadRestorePointFileRequest {
        name: resolved(session, &args.point).await?,
        path: args.path.clone(),
    };
    let Some(target) = &args.file else {
        let bar = BytesBar::beside_output;
        pour(session, request, bar, |bytes| Ok(Data.write_all(bytes)?)).await?;
        Data.flush()?;
        return Ok(Exit::Good);
    };
    let mut file = PendingFile::create(target, args.force)?;
    let entry = unless_interrupted(pour(session, request, BytesBar::new, |bytes| {
        file.put(bytes)
    }))
    .await?;
    file.keep()?;
    if session.output.format == Format::Json {
        session.output.json(&ReadRestorePointFileResponse {
            message: Some(Message::Entry(entry)),
        })?;
    } else {
        let line = format!("{} ({})", target.display(), bytes(entry.size_bytes));
        session.output.line(&format!("wrote {}", plain(&line)))?;
    }
    Ok(Exit::Good)
}

/// Writes all that comes, and returns once it is known to be what was stored.
async fn pour(
    session: &Session,
    request: ReadRestorePointFileRequest,
    make_bar: fn(&str, u64) -> BytesBar,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<RestorePointEntry, Failure> {
    let mut backups = session.client.backups();
    let mut stream = backups.read_restore_point_file(request).await?.into_inner();
    let mut found = RestorePointEntry::default();
    let mut bar = make_bar("reading", 0);
    let mut written = 0;
    let broken = |status| Failure::of_stream(status, "what came is not all of it: read it again");
    while let Some(response) = stream.message().await.map_err(broken)? {
        match response.message {
            Some(Message::Entry(entry)) => {
                let size = u64::try_from(entry.size_bytes).unwrap_or_default();
                bar = make_bar(short(&entry.path), size);
                found = entry;
            }
            Some(Message::Data(data)) => {
                write(&data)?;
                written += data.len() as u64;
                watchbell_client::transfer::Meter::reached(&bar, written);
            }
            None => {}
        }
    }
    bar.finish();
    if u64::try_from(found.size_bytes) != Ok(written) {
        let size = found.size_bytes;
        return Err(Status::data_loss(format!("{written} bytes of {size} came")).into());
    }
    Ok(found)
}
