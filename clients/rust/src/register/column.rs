//! The columns of a register, and the header that names them.

use super::brief;

/// A column. Their order is that of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Required.
    Number,
    /// Required.
    Title,
    /// Such as `SOP`.
    DocumentType,
    /// Default 1.
    VersionMajor,
    /// Default 0.
    VersionMinor,
    /// Default DRAFT.
    Status,
    /// Default: whoever imports.
    Author,
    /// Who reviews.
    Reviewer,
    /// Who approves.
    Approver,
    /// A day.
    EffectiveDate,
    /// A day.
    ObsolescenceDate,
    /// A number, with or without its version.
    Supersedes,
    /// Numbers.
    DependsOn,
    /// A file in the folder of the register, or below it.
    ContentPath,
}

impl Column {
    /// All columns, in their order.
    pub const ALL: [Self; 14] = [
        Self::Number,
        Self::Title,
        Self::DocumentType,
        Self::VersionMajor,
        Self::VersionMinor,
        Self::Status,
        Self::Author,
        Self::Reviewer,
        Self::Approver,
        Self::EffectiveDate,
        Self::ObsolescenceDate,
        Self::Supersedes,
        Self::DependsOn,
        Self::ContentPath,
    ];

    /// As it stands in a header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Title => "title",
            Self::DocumentType => "document_type",
            Self::VersionMajor => "version_major",
            Self::VersionMinor => "version_minor",
            Self::Status => "status",
            Self::Author => "author",
            Self::Reviewer => "reviewer",
            Self::Approver => "approver",
            Self::EffectiveDate => "effective_date",
            Self::ObsolescenceDate => "obsolescence_date",
            Self::Supersedes => "supersedes",
            Self::DependsOn => "depends_on",
            Self::ContentPath => "content_path",
        }
    }

    /// The column of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

/// Such as `unknown column \`titel\`: did you mean \`title\`?`, and which there are.
pub(super) fn unknown(name: &str) -> String {
    let known = Column::ALL.map(Column::name).join(", ");
    let near = nearest(name);
    let name = brief(name);
    match near {
        Some(near) => {
            format!("unknown column `{name}`: did you mean `{near}`? the columns are {known}")
        }
        None => format!("unknown column `{name}`: the columns are {known}"),
    }
}

/// The columns that a header names.
///
/// # Errors
/// Where it names one that there is not, or one twice, or lacks a required one.
pub(super) fn header(names: &[&str]) -> Result<Vec<Column>, String> {
    let mut columns = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("column {} has no name", index + 1));
        }
        let column = Column::named(name).ok_or_else(|| separated(names, name))?;
        if columns.contains(&column) {
            return Err(format!("column `{name}` is there twice"));
        }
        columns.push(column);
    }
    for required in [Column::Number, Column::Title] {
        if !columns.contains(&required) {
            let known = Column::ALL.map(Column::name).join(", ");
            return Err(format!(
                "column `{}` is missing: the first line names the columns, of which there are {known}",
                required.name()
            ));
        }
    }
    Ok(columns)
}

/// A spreadsheet may separate columns by something else, and then the header is one long name.
fn separated(names: &[&str], name: &str) -> String {
    let other = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];
    match other.into_iter().find(|(mark, _)| name.contains(*mark)) {
        Some((_, marks)) if names.len() == 1 => format!(
            "the header holds {marks} and no commas: columns are separated by commas, so save the file \
             as CSV with commas"
        ),
        _ => unknown(name),
    }
}

/// A column that was probably meant.
fn nearest(name: &str) -> Option<&'static str> {
    let letters = |text: &str| -> Vec<char> {
        let kept = text.chars().filter(|character| character.is_alphanumeric());
        kept.flat_map(char::to_lowercase).take(64).collect()
    };
    let meant = letters(name);
    let distances = Column::ALL.map(|column| {
        let known = letters(column.name());
        (distance(&meant, &known), column.name())
    });
    let (distance, near) = distances.into_iter().min()?;
    // With more than a third of its letters wrong it is another word.
    (distance <= 2.max(near.len() / 3)).then_some(near)
}

/// How many letters must be put in, left out or changed to make one of the other.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, one) in left.iter().enumerate() {
        let mut before = index;
        for (column, other) in right.iter().enumerate() {
            let (Some(&above), Some(&beside)) = (row.get(column + 1), row.get(column)) else {
                continue;
            };
            let beside = if column == 0 { index + 1 } else { beside };
            let changed = before + usize::from(one != other);
            before = above;
            if let Some(place) = row.get_mut(column + 1) {
                *place = changed.min(above + 1).min(beside + 1);
            }
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_found_by_its_name() {
        for column in Column::ALL {
            assert_eq!(Column::named(column.name()), Some(column));
        }
    }

    #[test]
    fn what_was_meant_is_offered() {
        for (name, meant) in [
            ("titel", "title"),
            ("Number", "number"),
            ("Document Type", "document_type"),
            ("effectivedate", "effective_date"),
            ("obsolescense_date", "obsolescence_date"),
        ] {
            assert_eq!(nearest(name), Some(meant), "{name}");
        }
        assert_eq!(nearest("colour"), None);
    }

    #[test]
    fn a_header_names_known_columns_once_and_the_required_ones() {
        assert_eq!(
            header(&["title", "number"]).unwrap(),
            [Column::Title, Column::Number]
        );
        for (names, told) in [
            (&["number", "titel"][..], "did you mean `title`"),
            (
                &["number", "title", "owner"][..],
                "the columns are number, title",
            ),
            (&["number", "title", "title"][..], "`title` is there twice"),
            (&["number"][..], "column `title` is missing"),
            (&["number", "title", ""][..], "column 3 has no name"),
            (&["number;title"][..], "semicolons"),
            (&["number\ttitle"][..], "tabs"),
        ] {
            let refusal = header(names).unwrap_err();
            assert!(refusal.contains(told), "{refusal}");
        }
    }

    #[test]
    fn distances_are_counted() {
        let count = |left: &str, right: &str| {
            distance(
                &left.chars().collect::<Vec<_>>(),
                &right.chars().collect::<Vec<_>>(),
            )
        };
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", ""), 3);
        assert_eq!(count("same", "same"), 0);
    }
}
