//! Contents of 1 GiB, up and down over loopback, beside what the disk and the loopback do by themselves in the same
//! minute; and how much memory the server takes for it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    time::Instant,
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use watchbell_client::{client::Client, pb};

use super::Scene;
use crate::{
    database::Kind,
    machine,
    report::{Goal, Report},
    server::Site,
};

const CHUNK: usize = 1 << 20;

/// MiB per second, or MiB.
#[derive(Debug, Default)]
struct Figures {
    disk: Vec<f64>,
    loopback: Vec<f64>,
    upload: Vec<f64>,
    download: Vec<f64>,
    upload_share: Vec<f64>,
    download_share: Vec<f64>,
    grown: Vec<f64>,
}

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let mib = scene.size(1024, 128);
    let site = Site::new(&scene.program, kind, "").await?;
    let server = site.start().await?;
    let client = Client::connect(&server.endpoint, &server.token).await?;
    create(&client).await?;
    let mut figures = Figures::default();
    for repeat in 0..scene.repeats(3) {
        let folder = site.data();
        let (disk, loopback) =
            tokio::task::spawn_blocking(move || anyhow::Ok((write(&folder, mib)?, copy(mib)?)))
                .await??;
        let before = machine::resident_mib(server.id())?;
        let sha256 = tokio::task::spawn_blocking(move || digest(mib, repeat)).await?;
        let began = Instant::now();
        upload(&client, mib, repeat, &sha256).await?;
        let upload = mib as f64 / began.elapsed().as_secs_f64();
        let began = Instant::now();
        download(&client, mib, &sha256).await?;
        let download = mib as f64 / began.elapsed().as_secs_f64();
        figures.disk.push(disk);
        figures.loopback.push(loopback);
        figures.upload.push(upload);
        figures.download.push(download);
        let slower = disk.min(loopback);
        figures.upload_share.push(100.0 * upload / slower);
        figures.download_share.push(100.0 * download / slower);
        figures.grown.push(machine::peak_mib(server.id())? - before);
    }
    server.stop().await?;
    site.remove().await?;

    let name = format!("content of {mib} MiB");
    let speed = "MiB/s";
    let mut add = |metric, values: &[f64], goal| report.add(&name, kind, metric, values, goal);
    add(("disk, write and fsync", speed), &figures.disk, Goal::None);
    add(
        ("loopback, plain TCP", speed),
        &figures.loopback,
        Goal::None,
    );
    add(("upload", speed), &figures.upload, Goal::None);
    add(("download", speed), &figures.download, Goal::None);
    add(
        ("upload, of the slower of disk and loopback", "%"),
        &figures.upload_share,
        Goal::AtLeast(50.0),
    );
    add(
        ("download, of the slower of disk and loopback", "%"),
        &figures.download_share,
        Goal::AtLeast(50.0),
    );
    add(
        ("memory beyond what it had before", "MiB"),
        &figures.grown,
        Goal::AtMost(32.0),
    );
    Ok(())
}

async fn create(client: &Client) -> anyhow::Result<()> {
    let request = pb::CreateDocumentRequest {
        document: Some(pb::Document {
            number: "LARGE".to_owned(),
            title: "A large one".to_owned(),
            ..Default::default()
        }),
        actor: "ann".to_owned(),
        ..Default::default()
    };
    client.documents().create_document(request).await?;
    Ok(())
}

/// No two chunks are alike, and no two repeats.
fn fill(chunk: &mut [u8], number: usize, repeat: usize) {
    chunk[..8].copy_from_slice(&(number as u64).to_be_bytes());
    chunk[8..16].copy_from_slice(&(repeat as u64).to_be_bytes());
}

/// Bytes that do not compress.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(CHUNK);
    while bytes.len() < CHUNK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes
}

fn digest(mib: usize, repeat: usize) -> String {
    let mut chunk = noise();
    let mut digest = Sha256::new();
    for number in 0..mib {
        fill(&mut chunk, number, repeat);
        digest.update(&chunk);
    }
    let digest = digest.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn upload(client: &Client, mib: usize, repeat: usize, sha256: &str) -> anyhow::Result<()> {
    use pb::upload_content_request::Message;
    let message = |message| pb::UploadContentRequest {
        message: Some(message),
    };
    let header = pb::UploadHeader {
        document: "documents/LARGE@1.0".to_owned(),
        actor: "ann".to_owned(),
        sha256: sha256.to_owned(),
        size: Some((mib * CHUNK) as i64),
        ..Default::default()
    };
    let (sender, messages) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let mut chunk = noise();
        for number in 0..mib {
            fill(&mut chunk, number, repeat);
            let data = message(Message::Data(chunk.clone().into()));
            if sender.send(data).await.is_err() {
                return;
            }
        }
    });
    let header = tokio_stream::once(message(Message::Header(header)));
    let messages = header.chain(ReceiverStream::new(messages));
    let answer = client.documents().upload_content(messages).await?;
    let stored = answer.into_inner().content.unwrap_or_default();
    if (stored.sha256.as_str(), stored.size) != (sha256, (mib * CHUNK) as i64) {
        bail!("another content is stored: {stored:?}");
    }
    Ok(())
}

/// Downloads it, and sees that it is this one. Whether each byte is right is the server's to see, which hashes what it sends.
async fn download(client: &Client, mib: usize, sha256: &str) -> anyhow::Result<()> {
    use pb::download_content_response::Message;
    let request = pb::DownloadContentRequest {
        name: "documents/LARGE".to_owned(),
        ..Default::default()
    };
    let answer = client.documents().download_content(request).await?;
    let mut messages = answer.into_inner();
    let (mut size, mut of) = (0, String::new());
    while let Some(message) = messages.message().await? {
        match message.message {
            Some(Message::Header(header)) => of = header.sha256,
            Some(Message::Data(data)) => size += data.len(),
            None => {}
        }
    }
    if size != mib * CHUNK || of != sha256 {
        bail!("{size} bytes of {of} came");
    }
    Ok(())
}

/// What the disk does by itself: a file is written, and is on it.
fn write(folder: &Path, mib: usize) -> anyhow::Result<f64> {
    let path = folder.join("yardstick");
    let mut chunk = noise();
    let began = Instant::now();
    let mut file = File::create(&path)?;
    for number in 0..mib {
        fill(&mut chunk, number, usize::MAX);
        file.write_all(&chunk)?;
    }
    file.sync_all()?;
    let speed = mib as f64 / began.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(speed)
}

/// What the loopback does by itself: a plain TCP connection.
fn copy(mib: usize) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let sender = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address)?;
        let chunk = noise();
        for _ in 0..mib {
            stream.write_all(&chunk)?;
        }
        std::io::Result::Ok(())
    });
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; 256 << 10];
    let began = Instant::now();
    while 0 < stream.read(&mut buffer)? {}
    let speed = mib as f64 / began.elapsed().as_secs_f64();
    let sent = sender.join();
    sent.ok().context("the sender panicked")??;
    Ok(speed)
}
