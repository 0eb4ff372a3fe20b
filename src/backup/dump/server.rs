//! A PostgreSQL server: how it is reached, with the password apart, which goes by a file of its own.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{backup::work::new_file, config::SecretSource, store::Elsewhere};

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
    /// Of a URL that may hold a password, before the host or as a parameter; `password` goes before both. What is left
    /// stands in the arguments of programs.
    ///
    /// # Errors
    /// Where it is none, or holds a secret that goes by nothing but arguments; what it holds is not shown.
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
        let (tail, parameter) = without_secrets(tail).context(wrong)?;
        Ok(Self {
            url: format!("{scheme}://{user}{host}{tail}"),
            // A parameter goes before what stands before the host, for the driver and for PostgreSQL's programs.
            password: password.or(parameter).or(own),
        })
    }

    /// As the configuration has a source.
    ///
    /// # Errors
    /// As [`Self::of_url`], and where its password cannot be read.
    pub(in crate::backup) fn of_source(
        url: &str,
        password: Option<&SecretSource>,
    ) -> anyhow::Result<Self> {
        let password = match password {
            None => None,
            Some(source) => Some(source.read()?.expose().to_owned()),
        };
        Self::of_url(url, password)
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

    /// Its major version.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub(in crate::backup) async fn version(&self) -> anyhow::Result<u32> {
        let database = self.connect().await?;
        let version = database.major_version().await;
        database.close().await;
        Ok(version?)
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
    let mut file = new_file(&path).with_context(about)?;
    if let Some(password) = &server.password {
        let password = password.replace('\\', "\\\\").replace(':', "\\:");
        writeln!(file, "*:*:*:*:{password}").with_context(about)?;
    }
    Ok(path)
}

/// What follows the host, without the parameter that is a password; and that.
fn without_secrets(tail: &str) -> anyhow::Result<(String, Option<String>)> {
    let Some((path, query)) = tail.split_once('?') else {
        return Ok((tail.to_owned(), None));
    };
    let mut password = None;
    let mut kept = Vec::new();
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = decoded(name).context("a parameter's name cannot be read")?;
        match name.as_str() {
            "password" => {
                password = Some(decoded(value).context("the parameter password cannot be read")?);
            }
            "sslpassword" => bail!(
                "the parameter sslpassword would stand in the arguments of programs: use a key without a password, \
                 which only the server's user can read"
            ),
            _ => kept.push(parameter),
        }
    }
    let kept = kept.join("&");
    let question = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{path}{question}{kept}"), password))
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
        for (given, left) in [
            (
                "postgres://ada@db/edms?password=p%3Aw",
                "postgres://ada@db/edms",
            ),
            (
                "postgres://ada:other@db/edms?sslmode=require&password=p%3Aw&options=x",
                "postgres://ada@db/edms?sslmode=require&options=x",
            ),
            ("postgres://ada@db?pass%77ord=p%3Aw", "postgres://ada@db"),
        ] {
            let server = Server::of_url(given, None).unwrap();
            assert_eq!(server.url, left);
            assert_eq!(server.password.as_deref(), Some("p:w"), "{given}");
        }
        let refused = Server::of_url("postgres://db/edms?sslpassword=hidden", None);
        let refused = format!("{:#}", refused.unwrap_err());
        assert!(refused.contains("sslpassword"), "{refused}");
        assert!(!refused.contains("hidden"), "{refused}");
        assert_eq!(
            Server::of_url("postgres://db", None)
                .unwrap()
                .with_database("a")
                .url,
            "postgres://db/a"
        );
    }
}
