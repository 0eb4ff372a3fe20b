//! Whom a command runs as.

use std::{
    ffi::CString,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use nix::unistd::{User, geteuid, getgrouplist};

use crate::{
    config::CommandConfig,
    engine::{Failure, Need},
    host::{self, Question, Unanswered},
    process::Identity,
};

/// The user of a command.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: PathBuf,
    /// With all groups, where it is not the server's own user.
    pub(super) identity: Option<Identity>,
}

impl Account {
    /// The user that the configuration names, or the server's own, where it has a name. Blocks.
    ///
    /// # Errors
    /// Where the server cannot run anything as that user; the text says why.
    pub(super) fn of(config: &CommandConfig) -> Result<Option<Self>, String> {
        let own = geteuid();
        let Some(name) = &config.user else {
            // A container's user may have no name.
            let user = User::from_uid(own).ok().flatten();
            return Ok(user.map(|user| Self {
                name: user.name,
                home: user.dir,
                identity: None,
            }));
        };
        let found = User::from_name(name)
            .map_err(|error| format!("could not look up user {name}: {error}"))?;
        let user = found.ok_or_else(|| format!("there is no user {name} on this host"))?;
        if user.uid != own && !own.is_root() {
            return Err(format!(
                "it runs as user {name}, and only a server that runs as root may do that"
            ));
        }
        let identity = if user.uid == own {
            None
        } else {
            Some(identity(&user)?)
        };
        Ok(Some(Self {
            name: user.name,
            home: user.dir,
            identity,
        }))
    }
}

fn identity(user: &User) -> Result<Identity, String> {
    let name = CString::new(user.name.as_str()).map_err(|error| error.to_string())?;
    let groups = getgrouplist(&name, user.gid).map_err(|error| {
        format!(
            "could not look up the groups of user {}: {error}",
            user.name
        )
    })?;
    Ok(Identity {
        name: user.name.clone(),
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(|group| group.as_raw()).collect(),
    })
}

/// Why a command could not be started.
#[derive(Debug)]
pub(super) enum Unready {
    Lacks(String),
    Hangs(Unanswered),
}

impl Unready {
    /// The failure of a run, of what stands at this place of the configuration.
    pub(super) fn failure(self, place: &str) -> Failure {
        match self {
            Self::Lacks(what) => anyhow!("{place}: {what}").into(),
            Self::Hangs(why) => anyhow::Error::new(why).context(place.to_owned()).into(),
        }
    }
}

/// As whom the command could be started now, or why it could not.
pub(super) async fn startable(config: &CommandConfig) -> Result<Option<Account>, Unready> {
    for need in files(config) {
        let looked = host::ask(need.question, need.look).await;
        looked.map_err(Unready::Hangs)?.map_err(Unready::Lacks)?;
    }
    let account = host::ask(whom(config), {
        let config = config.clone();
        move || Account::of(&config)
    });
    account
        .await
        .map_err(Unready::Hangs)?
        .map_err(Unready::Lacks)
}

/// What a command needs of this host.
pub(super) fn needs(config: &CommandConfig) -> Vec<Need> {
    let mut needs = files(config);
    let user = config.clone();
    needs.push(Need {
        question: whom(config),
        look: Box::new(move || Account::of(&user).map(drop)),
    });
    needs
}

/// The program and the working directory.
fn files(config: &CommandConfig) -> Vec<Need> {
    let program = PathBuf::from(config.argv.first().map_or("", String::as_str));
    let mut needs = vec![Need {
        question: Question::of_file(
            &program,
            format!("looking at the program {}", program.display()),
        ),
        look: Box::new(move || check_program(&program)),
    }];
    if let Some(directory) = config.working_directory.clone() {
        let what = format!("looking at the working directory {}", directory.display());
        needs.push(Need {
            question: Question::of_file(&directory, what),
            look: Box::new(move || match directory.is_dir() {
                true => Ok(()),
                false => Err(format!(
                    "the working directory {} is not there",
                    directory.display()
                )),
            }),
        });
    }
    needs
}

fn check_program(program: &Path) -> Result<(), String> {
    let shown = program.display();
    let about = std::fs::metadata(program)
        .map_err(|error| format!("the program {shown} is not there: {error}"))?;
    if !about.is_file() || about.permissions().mode() & 0o111 == 0 {
        return Err(format!(
            "{shown} is not executable; expected a program, or chmod +x it"
        ));
    }
    Ok(())
}

/// The question as whom a command runs.
fn whom(config: &CommandConfig) -> Question {
    let user = match &config.user {
        Some(name) => format!("user {name}"),
        None => format!("the server's own user, {}", geteuid()),
    };
    Question::of(user.clone(), format!("looking up {user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(text: &str) -> String {
        let config: CommandConfig = serde_json::from_str(text).unwrap();
        match startable(&config).await {
            Err(Unready::Lacks(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_refused_with_a_reason() {
        for (argv, expected) in [
            ("/no/such/program", "is not there"),
            ("/etc/passwd", "is not executable"),
            ("/usr", "is not executable"),
        ] {
            let reason = refused(&format!(r#"{{"argv": ["{argv}"]}}"#)).await;
            assert!(reason.contains(expected), "{reason}");
        }
        let reason = refused(r#"{"argv": ["/bin/true"], "user": "no-such-user-here"}"#).await;
        assert!(reason.contains("no user"), "{reason}");
    }
}
