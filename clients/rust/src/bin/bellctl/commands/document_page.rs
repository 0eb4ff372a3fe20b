//! A list of documents as a page to print: HTML that needs nothing beside itself.

use watchbell_client::pb::{Document, DocumentStatus};

use crate::{
    args::ListDocumentsArgs,
    label::{Labelled as _, label_of},
    name::short,
    text::plain,
    time::Clock,
};

/// The header of the table is on each sheet, and no row is on two.
const STYLE: &str = "body{font:10pt/1.35 sans-serif;color:#000;margin:2em}\
h1{font-size:15pt;margin:0 0 .2em}\
p{margin:.2em 0;color:#333}\
table{border-collapse:collapse;width:100%;margin-top:1em}\
th,td{text-align:left;vertical-align:top;padding:.25em .6em;border-bottom:1px solid #999}\
th{border-bottom:2px solid #000}\
thead{display:table-header-group}\
tr{break-inside:avoid}\
.whole{white-space:nowrap}\
@page{margin:15mm}\
@media print{body{margin:0}}";

const TITLE: &str = "Documents";

const HEADER: [&str; 9] = [
    "Document",
    "Title",
    "Type",
    "Status",
    "Author",
    "Reviewer",
    "Approver",
    "Effective",
    "Obsolete",
];

/// The page. `is_cut`: there are more documents than these.
pub(super) fn page(
    clock: &Clock,
    args: &ListDocumentsArgs,
    documents: &[Document],
    is_cut: bool,
) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{TITLE}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{TITLE}</h1>\n"
    );
    let made = clock.now.to_zoned(clock.zone.clone());
    let made = made.strftime("%Y-%m-%d %H:%M %Z").to_string();
    for line in [
        format!("Made {made}"),
        filters(args),
        count(documents.len(), is_cut),
    ] {
        page.push_str(&format!("<p>{}</p>\n", escaped(&line)));
    }
    let header = HEADER.map(|title| format!("<th>{title}</th>")).concat();
    page.push_str(&format!(
        "<table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n"
    ));
    for document in documents {
        page.push_str(&row(document));
    }
    page.push_str("</tbody>\n</table>\n</body>\n</html>");
    page
}

fn row(document: &Document) -> String {
    let status = label_of::<DocumentStatus>(document.status);
    let cells = [
        ("whole", short(&document.name)),
        ("", document.title.as_str()),
        ("", document.document_type.as_str()),
        ("whole", status),
        ("", document.author.as_str()),
        ("", document.reviewer.as_str()),
        ("", document.approver.as_str()),
        ("whole", document.effective_date.as_str()),
        ("whole", document.obsolescence_date.as_str()),
    ];
    let cells = cells.map(|(class, text)| match class {
        "" => format!("<td>{}</td>", escaped(text)),
        class => format!("<td class=\"{class}\">{}</td>", escaped(text)),
    });
    format!("<tr>{}</tr>\n", cells.concat())
}

/// What was asked for, so that nobody takes a part for the whole.
fn filters(args: &ListDocumentsArgs) -> String {
    let statuses: Vec<&str> = args.status.iter().map(|status| status.label()).collect();
    let statuses = statuses.join(" or ");
    let filters = [
        ("status", &statuses),
        ("number", &args.number),
        ("type", &args.document_type),
        ("author", &args.author),
        ("reviewer", &args.reviewer),
        ("approver", &args.approver),
        ("effective since", &args.effective_since),
        ("effective before", &args.effective_before),
        ("obsolete since", &args.obsolescence_since),
        ("obsolete before", &args.obsolescence_before),
    ];
    let said: Vec<String> = filters
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    match said.as_slice() {
        [] => "All documents".to_owned(),
        said => format!("Only: {}", said.join(", ")),
    }
}

fn count(count: usize, is_cut: bool) -> String {
    let documents = if count == 1 { "document" } else { "documents" };
    match is_cut {
        true => format!("{count} {documents}, and there are more: --all prints them"),
        false => format!("{count} {documents}"),
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in plain(text).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_no_text_as_markup() {
        let document = Document {
            name: "documents/SOP-1@1.0".to_owned(),
            title: "<script>alert('x')</script> & \"more\"".to_owned(),
            status: DocumentStatus::Effective.into(),
            ..Document::default()
        };
        let row = row(&document);
        assert!(!row.contains("<script>"), "{row}");
        assert!(
            row.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot;"),
            "{row}"
        );
        assert!(row.contains("<td class=\"whole\">SOP-1@1.0</td>"), "{row}");
    }

    #[test]
    fn a_part_is_not_taken_for_the_whole() {
        assert_eq!(count(1, false), "1 document");
        assert_eq!(
            count(50, true),
            "50 documents, and there are more: --all prints them"
        );
    }
}
