//! What `pg_restore` says of a load that failed: by what it was at, in its own words. Those of the server may be of any
//! language, and may hold what is in a row.

/// Begins what it says of the entry of the dump that it was at.
const ENTRY: &str = "from TOC entry ";
/// Begins what it says of the statement that failed.
const STATEMENT: &str = "Command was: CREATE EXTENSION";
/// What the server says of something that is in a database already.
const THERE: [&str; 2] = ["already exists", "duplicate key"];

/// Whether a load has failed at the making of an extension, or at what is said of one: that is the place's, and not the
/// dump's.
pub(super) fn is_of_extension(said: &str) -> bool {
    let entry = said.lines().find_map(|line| line.split_once(ENTRY));
    let Some((_, entry)) = entry else {
        // The beginning was too long ago.
        return said.lines().any(|line| line.starts_with(STATEMENT));
    };
    // `7; 3079 16385 EXTENSION citext`, and `8; 0 0 COMMENT EXTENSION citext`.
    let mut words = entry.split_whitespace().skip(3);
    match words.next() {
        Some("COMMENT") => words.next() == Some("EXTENSION"),
        kind => kind == Some("EXTENSION"),
    }
}

/// Whether a load has met what was in the database before.
pub(super) fn is_there_already(said: &str) -> bool {
    let mut own = said.lines().filter(|line| line.contains("pg_restore: "));
    own.any(|line| THERE.iter().any(|words| line.contains(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(entry: &str, rest: &str) -> String {
        format!(
            "pg_restore failed (exit status: 1): pg_restore: while PROCESSING TOC:\n\
             pg_restore: from TOC entry {entry}\npg_restore: error: {rest}"
        )
    }

    #[test]
    fn an_extension_that_is_not_to_be_had_is_no_fault_of_the_dump() {
        for (entry, rest, is_of_one) in [
            (
                "2; 3079 16385 EXTENSION postgis (no owner)",
                "could not execute query: ERROR:  extension \"postgis\" is not available\n\
                 Command was: CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;",
                true,
            ),
            (
                "2; 3079 16385 EXTENSION postgis ",
                "could not execute query: FEHLER:  Erweiterung »postgis« ist nicht verfügbar",
                true,
            ),
            (
                "3366; 0 0 COMMENT EXTENSION citext ",
                "could not execute query: ERROR:  must be owner of extension citext",
                true,
            ),
            (
                "3360; 0 16390 TABLE DATA extensions ada",
                "COPY failed for table \"extensions\": ERROR:  invalid input syntax\n\
                 CONTEXT:  COPY extensions, line 1: \"extension x is not available\"\n\
                 Command was: CREATE EXTENSION in a row",
                false,
            ),
            (
                "215; 1259 16386 TABLE EXTENSION ada",
                "could not execute query: ERROR:  relation \"EXTENSION\" is odd",
                false,
            ),
        ] {
            let said = failed(entry, rest);
            assert_eq!(is_of_extension(&said), is_of_one, "{said}");
        }
        let cut = "not available\nCommand was: CREATE EXTENSION IF NOT EXISTS postgis";
        assert!(is_of_extension(cut));
        assert!(!is_of_extension(
            "could not read from input file: end of file"
        ));
    }

    #[test]
    fn what_was_there_before_is_told_from_what_a_row_holds() {
        for (rest, is_there) in [
            (
                "could not execute query: ERROR:  relation \"bells\" already exists",
                true,
            ),
            (
                "COPY failed for table \"spatial_ref_sys\": ERROR:  duplicate key value violates unique constraint",
                true,
            ),
            (
                "COPY failed for table \"said\": ERROR:  invalid input syntax\nCONTEXT:  it already exists",
                false,
            ),
        ] {
            let said = failed("3360; 0 16390 TABLE DATA one ada", rest);
            assert_eq!(is_there_already(&said), is_there, "{said}");
        }
    }
}
