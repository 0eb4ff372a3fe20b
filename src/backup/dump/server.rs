//! A PostgreSQL server: how it is reached, with the password apart, which goes by a file of its own.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::store::Elsewhere;

/// A PostgreSQL database: how it is reached, with the password apart.
#[derive(Clone)]
pub(in crate::backup) struct Server {
    /// Without a password.
    url: String,
    password: Option<String>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Of a URL that may hold a password; `password` goes before it.
    ///
    /// # Errors
    /// Where it is none; what it holds is not shown.
    pub(in crate::backup) fn of_url(url: &str, password: Option<String>) -> anyhow::Result<Self> {
        let wrong = "expected postgres://user@host/database";
        let (scheme, rest) = url.split_once("://").context(wrong)?;
        let (authority, tail) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (user, own) = match user.and_then(|user| user.split_once(':')) {
            Some((name, password)) => (Some(name), Some(decoded(password).context(wrong)?)),
            None => (user, None),
        };
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        Ok(Self {
            url: format!("{scheme}://{user}{host}{tail}"),
            password: password.or(own),
        })
    }

    /// Without a password.
    pub(in crate::backup) fn url(&self) -> &str {
        &self.url
    }

    /// The same server, another database.
    pub(in crate::backup) fn with_database(&self, name: &str) -> Self {
        let (before, query) = match self.url.split_once('?') {
            Some((before, query)) => (before, format!("?{query}")),
            None => (self.url.as_str(), String::new()),
        };
        let start = before.find("://").map_or(0, |at| at + 3);
        let host = match before[start..].find('/') {
            Some(at) => &before[..start + at],
            None => before,
        };
        Self {
            url: format!("{host}/{name}{query}"),
            password: self.password.clone(),
        }
    }

    /// For the driver, which takes the password in the URL.
    fn whole(&self) -> String {
        let Some(password) = &self.password else {
            return self.url.clone();
        };
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return self.url.clone();
        };
        let password = encoded(password);
        match rest.split_once('@') {
            Some((user, host)) => format!("{scheme}://{user}:{password}@{host}"),
            None => format!("{scheme}://:{password}@{rest}"),
        }
    }

    /// # Errors
    /// Where the server cannot be reached.
    pub(in crate::backup) async fn connect(&self) -> anyhow::Result<Elsewhere> {
        Ok(Elsewhere::postgres(&self.whole()).await?)
    }
}

/// Writes the file that tells a program the password, where there is one; only its owner can read it.
pub(in crate::backup) fn passfile(server: &Server, directory: &Path) -> anyhow::Result<PathBuf> {
    let path = directory.join("pgpass");
    let about = || format!("could not write {}", path.display());
    drop(fs::remove_file(&path));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .with_context(about)?;
    if let Some(password) = &server.password {
        let password = password.replace('\\', "\\\\").replace(':', "\\:");
        writeln!(file, "*:*:*:*:{password}").with_context(about)?;
    }
    Ok(path)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_leaves_the_url_and_comes_back_for_the_driver_alone() {
        let server = Server::of_url(
            "postgres://ada:p%3Aw%40rd@db:5433/edms?sslmode=require",
            None,
        )
        .unwrap();
        assert_eq!(server.url, "postgres://ada@db:5433/edms?sslmode=require");
        assert_eq!(server.password.as_deref(), Some("p:w@rd"));
        assert_eq!(
            server.whole(),
            "postgres://ada:p%3Aw%40rd@db:5433/edms?sslmode=require"
        );
        assert_eq!(
            server.with_database("other").url,
            "postgres://ada@db:5433/other?sslmode=require"
        );
        assert!(!format!("{server:?}").contains("rd"), "{server:?}");
        let plain = Server::of_url("postgres://ada@db/edms", Some("x y".into())).unwrap();
        assert_eq!(plain.whole(), "postgres://ada:x%20y@db/edms");
        assert_eq!(
            Server::of_url("postgres://db", None)
                .unwrap()
                .with_database("a")
                .url,
            "postgres://db/a"
        );
    }
}
