//! Names of databases beside the server's own: those that drills and restores are given.

use anyhow::bail;

/// As PostgreSQL has it.
const NAME_MAX: usize = 63;

/// Whether it needs no quotes anywhere.
pub fn is_database_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    name.len() <= NAME_MAX && begins && name.bytes().all(plain)
}

/// Checks the database that a setting gives to drills; `beside` is what it lies beside.
pub(super) fn database_name(setting: &str, beside: &str, name: &str) -> anyhow::Result<String> {
    if !is_database_name(name) {
        bail!(
            "{setting}: {name:?} given; expected the name of an empty database beside {beside}: 1 to {NAME_MAX} of a-z, \
             0-9 and _, a letter first"
        );
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_database_has_a_plain_name() {
        let database_name = |name| database_name("drill_database", "the server's own", name);
        assert_eq!(database_name("drills_2").unwrap(), "drills_2");
        let long = "d".repeat(NAME_MAX + 1);
        for wrong in ["", "2drills", "Drills", "a/b", "a?b", "a\"b", &long] {
            database_name(wrong).unwrap_err();
        }
    }
}
