//! The columns of a register, and the header that names them.

use super::{
    brief,
    dialect::{Heading, Hints, Place, alike},
};

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

    /// Those that every register has.
    pub(super) const REQUIRED: [Self; 2] = [Self::Number, Self::Title];

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

    /// The column of that name, in any case, spaces and hyphens being as good as underscores.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_lowercase();
        let plain = name.replace(|letter: char| letter == '-' || letter.is_whitespace(), "_");
        Self::ALL.into_iter().find(|column| column.name() == plain)
    }
}

/// Unknown columns that are named beside the first.
const OTHERS: usize = 12;

/// Such as `unknown column \`titel\`: did you mean \`title\`?`, which there are, and what to do.
pub(super) fn unknown(name: &str, others: &[&str]) -> String {
    let known = Column::ALL.map(Column::name).join(", ");
    let near = nearest(name);
    let name = brief(name);
    let (asked, meant) = match near {
        Some(near) => (format!("did you mean `{near}`? "), near),
        None => (String::new(), "COLUMN"),
    };
    let mut told = format!(
        "unknown column `{name}`: {asked}the columns are {known}; say which it is by --map '{name}={meant}', or leave \
         such columns out by --ignore-unknown"
    );
    // All at once, so that they are mapped at once.
    if !others.is_empty() {
        let shown = others
            .iter()
            .take(OTHERS)
            .map(|name| format!("`{}`", brief(name)));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = if OTHERS < others.len() {
            " and more"
        } else {
            ""
        };
        told += &format!("; unknown as well: {shown}{more}");
    }
    told
}

/// The columns that a header names.
///
/// # Errors
/// Where it names one that there is not, or one twice, or lacks a required one, or one that is to be mapped.
pub(super) fn headings(names: &[&str], hints: &Hints) -> Result<Vec<Heading>, String> {
    let mut headings: Vec<Heading> = Vec::with_capacity(names.len());
    // Spreadsheets write columns that were emptied behind the others.
    let named = names.iter().rposition(|name| !name.is_empty());
    for (index, name) in names.iter().enumerate() {
        let place = match hints.column(name) {
            _ if name.is_empty() && named < Some(index) => Place::Nameless,
            _ if name.is_empty() => return Err(format!("column {} has no name", index + 1)),
            Some(column) => Place::Column(column),
            None if hints.ignore_unknown => Place::LeftOut,
            None => {
                let others = names.iter().skip(index + 1).copied();
                let is_unknown = |name: &&str| !name.is_empty() && hints.column(name).is_none();
                let others: Vec<&str> = others.filter(is_unknown).collect();
                return Err(unknown(name, &others));
            }
        };
        let before = headings.iter().find(|before| before.place == place);
        if let (Place::Column(column), Some(before)) = (place, before) {
            let (column, before) = (column.name(), brief(&before.name));
            let name = brief(name);
            return Err(match alike(&before, &name) {
                true => format!("column `{name}` is there twice"),
                false => {
                    format!("column `{column}` is there twice: as `{before}` and as `{name}`")
                }
            });
        }
        headings.push(Heading {
            name: (*name).to_owned(),
            place,
        });
    }
    for (from, column) in &hints.map {
        if !names.iter().any(|name| alike(name, from)) {
            let there = names.iter().map(|name| brief(name));
            let there = there.take(20).collect::<Vec<_>>().join(", ");
            return Err(format!(
                "there is no column `{}` to be taken for `{}`: the header names {there}",
                brief(from),
                column.name()
            ));
        }
    }
    let has = |column| headings.iter().any(|heading| heading.place == column);
    for required in Column::REQUIRED {
        if !has(Place::Column(required)) {
            let known = Column::ALL.map(Column::name).join(", ");
            let name = required.name();
            return Err(format!(
                "column `{name}` is missing: one of the first lines names the columns, of which there are {known}; where \
                 another stands for it, say so by --map 'NAME={name}'"
            ));
        }
    }
    Ok(headings)
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

    fn places(names: &[&str], hints: &Hints) -> Result<Vec<Place>, String> {
        let found = headings(names, hints)?;
        Ok(found.into_iter().map(|heading| heading.place).collect())
    }

    #[test]
    fn a_header_names_known_columns_once_and_the_required_ones() {
        let plain = Hints::default();
        let (title, number) = (Place::Column(Column::Title), Place::Column(Column::Number));
        for names in [["title", "number"], ["Title", "NUMBER"]] {
            assert_eq!(places(&names, &plain).unwrap(), [title, number]);
        }
        assert_eq!(
            places(&["number", "Document Type", "title", "", ""], &plain).unwrap(),
            [
                number,
                Place::Column(Column::DocumentType),
                title,
                Place::Nameless,
                Place::Nameless
            ]
        );
        for (names, told) in [
            (&["number", "titel"][..], "did you mean `title`"),
            (
                &["number", "title", "owner"][..],
                "the columns are number, title",
            ),
            (&["number", "title", "owner"][..], "--ignore-unknown"),
            (&["number", "title", "Title"][..], "`Title` is there twice"),
            (&["number"][..], "column `title` is missing"),
            (&["number", "", "title"][..], "column 2 has no name"),
        ] {
            let refusal = places(names, &plain).unwrap_err();
            assert!(refusal.contains(told), "{refusal}");
        }
    }

    #[test]
    fn columns_are_mapped_and_left_out_as_was_said() {
        let hints = Hints {
            map: vec![
                ("Nummer".to_owned(), Column::Number),
                ("Titel".to_owned(), Column::Title),
            ],
            ignore_unknown: true,
            ..Hints::default()
        };
        assert_eq!(
            places(&["nummer", "Ort", "TITEL"], &hints).unwrap(),
            [
                Place::Column(Column::Number),
                Place::LeftOut,
                Place::Column(Column::Title)
            ]
        );
        let refusal = places(&["nummer", "title"], &hints).unwrap_err();
        assert!(refusal.contains("no column `Titel`"), "{refusal}");
        let refusal = places(&["nummer", "Number", "titel"], &hints).unwrap_err();
        assert!(refusal.contains("as `nummer` and as `Number`"), "{refusal}");
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
