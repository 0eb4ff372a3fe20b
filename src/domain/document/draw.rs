//! Draws the table, for ARCHITECTURE.md: what is shown there is what the code does.

use std::fmt::Write as _;

use super::{
    DocumentStatus,
    table::{BEGINNINGS, Line, TABLE},
};

/// The table as a diagram of states (Mermaid) and as a table (Markdown).
pub fn drawn() -> String {
    let mut text = "```mermaid\nstateDiagram-v2\n".to_owned();
    for line in BEGINNINGS.iter().chain(TABLE) {
        for (from, to) in arrows(line) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "    {from} --> {to}: {} ({})", line.verb, line.who);
        }
    }
    for status in DocumentStatus::ALL {
        if status.is_final() {
            let _ = writeln!(text, "    {} --> [*]", status.shouted());
        }
    }
    text.push_str("```\n\n| from | verb | who | to | takes |\n|---|---|---|---|---|\n");
    for line in BEGINNINGS.iter().chain(TABLE) {
        let from = match line.from {
            [] => "–".to_owned(),
            from => shouted(from),
        };
        let (verb, who, to) = (line.verb, line.who, shouted(line.to));
        let _ = writeln!(text, "| {from} | {verb} | {who} | {to} | {} |", line.needs);
    }
    text
}

fn arrows(line: &Line) -> Vec<(String, String)> {
    let to = line.to.iter();
    let to = to.flat_map(|to| match line.from {
        [] => vec![("[*]".to_owned(), to.shouted())],
        from => from
            .iter()
            .map(|from| (from.shouted(), to.shouted()))
            .collect(),
    });
    // A new version is another document: its beginning, and no way out of the one before.
    let of_another = line.verb == super::Verb::CreateVersion;
    to.map(|(from, to)| {
        if of_another {
            ("[*]".to_owned(), to)
        } else {
            (from, to)
        }
    })
    .collect()
}

fn shouted(statuses: &[DocumentStatus]) -> String {
    let statuses: Vec<String> = statuses.iter().map(|status| status.shouted()).collect();
    statuses.join(", ")
}
