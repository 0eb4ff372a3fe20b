//! The table in ARCHITECTURE.md is the one in the code.

use watchbell::domain::document::draw::drawn;

const BEGIN: &str = "<!-- table of documents -->\n";
const END: &str = "<!-- end of the table -->";
/// Set, the test writes the table instead of comparing it.
const DRAW: &str = "WATCHBELL_TEST_DRAW";

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn the_drawn_table_is_the_one_that_is_consulted() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the place of the table");
    let (shown, after) = rest.split_once(END).expect("the end of the table");
    let drawn = format!("{}\n", drawn().trim_end());
    if std::env::var_os(DRAW).is_some() {
        std::fs::write(file, format!("{before}{BEGIN}{drawn}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        shown, drawn,
        "draw it again: {DRAW}=1 cargo test --test it documents::drawn"
    );
}
