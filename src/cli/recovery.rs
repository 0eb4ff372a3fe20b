//! `watchbell restore` and `watchbell export verify`: what is needed when nothing else is left.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use watchbell::{
    app::{self, Account, Ports, Wish},
    backup::{DirectoriesHere, export, repository::Progress},
    config::Config,
};

use super::{Failed, Restore, commands};

/// Bytes between two lines that tell how far it is.
const TOLD_EVERY: u64 = 256 << 20;

pub(super) fn restore(args: Restore) -> Result<(), Failed> {
    let config = Config::load(&args.common.flags()).map_err(Failed::Configuration)?;
    let wish = Wish {
        repository: std::path::absolute(&args.repository).unwrap_or(args.repository),
        password: args.password_file,
        point: Some(args.point),
        cluster: args.cluster,
        paths: args.path,
    };
    let ports = Ports {
        // There is nothing beside it that an abort could end.
        repositories: Arc::new(DirectoriesHere),
        ..commands::ports()
    };
    let runtime = commands::runtime()?;
    commands::outlive_hangups(&runtime);
    runtime.block_on(async {
        if args.list {
            let offline = app::open_offline(&wish, &ports, None).await?;
            for found in offline.points().await? {
                let cluster = found.cluster.as_deref().unwrap_or("-");
                let lacks = match found.ids() {
                    Some(_) => "",
                    None => ", its data is not there",
                };
                let accepted = match found.is_accepted() {
                    true => ", accepted",
                    false => "",
                };
                let line = format!(
                    "{}  {}  {}  {cluster}  {}{accepted}{lacks}\n",
                    found.id, found.frozen_at, found.policy, found.standing
                );
                commands::say(&line)?;
            }
            return Ok(());
        }
        let told = AtomicU64::new(0);
        let progress = move |done: Progress| {
            let mark = done.bytes / TOLD_EVERY;
            if told.fetch_max(mark, Ordering::Relaxed) < mark {
                commands::remark(&format!(
                    "restored so far: {} files, {} MiB",
                    done.files,
                    done.bytes >> 20
                ));
            }
        };
        let told = Arc::new(progress);
        let account = match &args.to {
            Some(into) => {
                let account = app::restore_paths(&ports, &wish, into, told).await?;
                tell_lacks(&account);
                commands::say(&format!(
                    "restored from {} as of {}: {} files, {} bytes into {}\n",
                    account.point,
                    account.frozen_at,
                    account.files,
                    account.bytes,
                    into.display()
                ))?;
                account
            }
            None => {
                let account = app::restore(&config, &ports, &wish, told).await?;
                tell(&account, &config)?;
                account
            }
        };
        match account.lacking {
            0 => Ok(()),
            lacking => {
                commands::remark(&format!(
                    "PARTIAL: {lacking} files are not, or not in all, what they were: see above"
                ));
                Err(Failed::Damaged)
            }
        }
    })
}

fn tell_lacks(account: &Account) {
    for line in account.lacks.iter().chain(&account.remarks) {
        commands::remark(line);
    }
}

fn tell(account: &Account, config: &Config) -> Result<(), Failed> {
    tell_lacks(account);
    commands::say(&format!(
        "restored {} as of {}: {} files, {} bytes; {} rows, {} documents, {} contents\n\
         {} runs that were under way are abandoned; the ledgers of {} tasks are closed up to now\n\
         {} restore points that the database did not know were found in the repository; {} that are not there any more were marked\n\
         everything is paused. Start it with `watchbell serve --data {}`, see that the original does not live, and \
         let it go by `bellctl resume`; its token is a new one, in {}\n",
        account.point,
        account.frozen_at,
        account.files,
        account.bytes,
        account.rows,
        account.documents,
        account.contents,
        account.runs,
        account.tasks,
        account.points_found,
        account.points_gone,
        config.data.display(),
        config.data.join("token").display(),
    ))
}

pub(super) fn verify_export(file: &Path) -> Result<(), Failed> {
    let verified = export::verify(file)?;
    for finding in &verified.findings {
        commands::say(&format!("{finding}\n"))?;
    }
    let frozen_at = verified
        .frozen_at
        .map_or_else(String::new, |at| format!(", as of {at}"));
    commands::say(&format!(
        "{} files, {} bytes verified{frozen_at}: {} findings\n",
        verified.files,
        verified.bytes,
        verified.findings.len()
    ))?;
    match verified.findings.is_empty() {
        true => Ok(()),
        false => Err(Failed::Damaged),
    }
}
