//! Looking into a restore point: directories page by page, and single files; never what holds secrets.

use std::fs;

use tonic::Code;
use watchbell_client::pb;

use super::{
    likeness::{fill, source},
    vault::Vault,
};
use crate::support::{Database, Site, on_both, refused, violations};

on_both!(
    a_directory_is_listed_by_pages_and_a_file_of_it_read,
    what_comes_back_by_restores_alone_is_not_read,
);

async fn listed(vault: &Vault<'_>, path: &str, size: i32) -> Vec<pb::RestorePointEntry> {
    let mut found = Vec::new();
    let mut request = pb::ListRestorePointEntriesRequest {
        name: "restorePoints/latest".to_owned(),
        path: path.to_owned(),
        page_size: size,
        ..pb::ListRestorePointEntriesRequest::default()
    };
    loop {
        let mut backups = vault.server.client.backups();
        let answer = backups.list_restore_point_entries(request.clone()).await;
        let answer = answer.unwrap().into_inner();
        assert!(i32::try_from(answer.entries.len()).unwrap() <= size);
        found.extend(answer.entries);
        if answer.next_page_token.is_empty() {
            return found;
        }
        request.page_token = answer.next_page_token;
    }
}

async fn read(vault: &Vault<'_>, path: &str) -> Result<Vec<u8>, tonic::Status> {
    let request = pb::ReadRestorePointFileRequest {
        name: "restorePoints/latest".to_owned(),
        path: path.to_owned(),
    };
    let mut backups = vault.server.client.backups();
    let mut stream = backups.read_restore_point_file(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(answer) = stream.message().await? {
        use pb::read_restore_point_file_response::Message;
        if let Some(Message::Data(data)) = answer.message {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

async fn a_directory_is_listed_by_pages_and_a_file_of_it_read(database: Database) {
    let files = tempfile::tempdir().unwrap();
    fill(files.path());
    let site = Site::configured(database, &source("all", files.path())).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let policy = pb::BackupPolicy {
        kind: pb::BackupKind::Full.into(),
        sources: ["database", "content", "all"].map(str::to_owned).to_vec(),
        retention: Some(pb::RetentionPolicy {
            keep_last: 3,
            ..pb::RetentionPolicy::default()
        }),
        ..pb::BackupPolicy::default()
    };
    vault.create_policy("all", policy).await.unwrap();
    vault.document("SOP-1", b"content").await;
    vault.back_up("all").await;

    let top = listed(&vault, "", 2).await;
    let top: Vec<&str> = top.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(top, ["/configuration", "/content", "/database", "/sources"]);
    let secrets = read(&vault, "/configuration/watchbell.toml").await;
    assert_eq!(
        secrets.unwrap_err().code(),
        Code::InvalidArgument,
        "it may hold secrets"
    );
    let root = format!("/sources/all{}", files.path().display());
    let www = listed(&vault, &format!("{root}/www/"), 3).await;
    let names: Vec<&str> = www
        .iter()
        .map(|entry| entry.path.rsplit('/').next().unwrap())
        .collect();
    let mut wanted: Vec<String> = fs::read_dir(files.path().join("www"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    wanted.sort();
    assert_eq!(names, wanted);
    let link = www.iter().find(|entry| entry.path.ends_with("/outside"));
    assert_eq!(link.unwrap().link_target, "/etc/passwd");
    let deep = www.iter().find(|entry| entry.path.ends_with("/deep"));
    assert_eq!(deep.unwrap().mode, 0o1777);
    let image = read(&vault, &format!("{root}/disk.img")).await.unwrap();
    assert!(image == fs::read(files.path().join("disk.img")).unwrap());
    server.stop().await;
}

async fn what_comes_back_by_restores_alone_is_not_read(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", b"content").await;
    vault.back_up("daily-full").await;
    let dump = match site.database.is_postgresql() {
        true => "/database/watchbell.dump",
        false => "/database/watchbell.db",
    };
    for wrong in [
        dump,
        "/database",
        "/manifest.json",
        "relative",
        "",
        "/content",
    ] {
        let (code, _, status) = refused(read(&vault, wrong).await);
        assert_eq!(code, Code::InvalidArgument, "{wrong}: {status:?}");
        assert_eq!(violations(&status), ["path"], "{wrong}");
    }
    for none in ["/content/nothing", "/content/../database"] {
        let (code, reason, _) = refused(read(&vault, none).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::NotFound, "RESTORE_POINT_ENTRY_NOT_FOUND"),
            "{none}"
        );
    }
    let shelves = listed(&vault, "/content", 50).await;
    let mut found = None;
    for shelf in &shelves {
        let inside = listed(&vault, &shelf.path, 50).await;
        found = found.or(inside.into_iter().find(|entry| 64 <= entry.path.len()));
    }
    let content = read(&vault, &found.unwrap().path).await.unwrap();
    assert_eq!(content, b"content");
    server.stop().await;
}
