//! Whom a command runs as.

use std::{
    ffi::CString,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{User, geteuid, getgrouplist};

use crate::{config::CommandConfig, process::Identity};

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

/// Whether the command could be started now, and as whom, or why not. Blocks.
pub(super) fn startable(config: &CommandConfig) -> Result<Option<Account>, String> {
    let program = config.argv.first().map(String::as_str).unwrap_or_default();
    let about = std::fs::metadata(program)
        .map_err(|error| format!("the program {program} is not there: {error}"))?;
    if !about.is_file() || about.permissions().mode() & 0o111 == 0 {
        return Err(format!(
            "{program} is not executable; expected a program, or chmod +x it"
        ));
    }
    if let Some(directory) = &config.working_directory
        && !Path::new(directory).is_dir()
    {
        return Err(format!(
            "the working directory {} is not there",
            directory.display()
        ));
    }
    Account::of(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> CommandConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_cannot_be_started_is_refused_with_a_reason() {
        for (argv, expected) in [
            ("/no/such/program", "is not there"),
            ("/etc/passwd", "is not executable"),
            ("/usr", "is not executable"),
        ] {
            let config = config(&format!(r#"{{"argv": ["{argv}"]}}"#));
            let reason = startable(&config).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
        let config = config(r#"{"argv": ["/bin/true"], "user": "no-such-user-here"}"#);
        assert!(startable(&config).unwrap_err().contains("no user"));
    }
}
