//! Lists of somebody's documents: by their author, reviewer or approver, in whatever case these are asked for.

use std::collections::BTreeSet;

use super::{
    super::super::{rows::Type, sql::Sql},
    DocumentFilter, ListPlace, Source, key_closed,
};
use crate::domain::document::DocumentStatus;

/// Letters beyond ASCII of which each may be small or capital; of a name with more of them, some ways to write it are
/// looked for.
const LETTERS_AT_MOST: usize = 4;

/// Whose documents are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    pub author: Option<String>,
    pub reviewer: Option<String>,
    pub approver: Option<String>,
}

/// What somebody is to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Author,
    Reviewer,
    Approver,
}

impl Part {
    const ALL: [Self; 3] = [Self::Reviewer, Self::Approver, Self::Author];

    fn of(self, people: &People) -> Option<&String> {
        match self {
            Self::Author => people.author.as_ref(),
            Self::Reviewer => people.reviewer.as_ref(),
            Self::Approver => people.approver.as_ref(),
        }
    }

    pub(super) fn index(self) -> &'static str {
        match self {
            Self::Author => " INDEXED BY documents_author",
            Self::Reviewer => " INDEXED BY documents_reviewer",
            Self::Approver => " INDEXED BY documents_approver",
        }
    }

    /// The name as the index has it.
    pub(super) fn folded(self, sql: Sql) -> Sql {
        let (postgres, sqlite) = match self {
            Self::Author => ("lower(author COLLATE \"C\")", "lower(author)"),
            Self::Reviewer => ("lower(reviewer COLLATE \"C\")", "lower(reviewer)"),
            Self::Approver => ("lower(approver COLLATE \"C\")", "lower(approver)"),
        };
        sql.postgres(postgres).sqlite(sqlite)
    }

    /// The condition of its index, word for word.
    fn condition(self) -> &'static str {
        match self {
            Self::Author => "",
            Self::Reviewer => " AND reviewer <> ''",
            Self::Approver => " AND approver <> ''",
        }
    }
}

impl DocumentFilter {
    /// A source for each way in which the name is written that is asked for; none where none is, or where what is under
    /// way in these statuses is surely less than what somebody has had to do with.
    pub(super) fn sources_of_people(&self) -> Vec<Source> {
        let few = |status: &DocumentStatus| !status.is_final() && !status.is_in_force();
        if !self.statuses.is_empty() && self.statuses.iter().all(few) {
            return Vec::new();
        }
        let Some(part) = Part::ALL
            .into_iter()
            .find(|part| part.of(&self.people).is_some())
        else {
            return Vec::new();
        };
        let count = self.ways(part).len();
        (0..count).map(|way| Source::Person(part, way)).collect()
    }

    /// Whether a source holds others than those of the people that are asked for.
    pub(super) fn others_are_in(&self, source: Source) -> bool {
        self.asked_besides(source).next().is_some()
    }

    /// ` FROM documents WHERE …`: what of a name, written in one way, lies behind the place.
    pub(super) fn of_person(
        &self,
        sql: Sql,
        (part, way): (Part, usize),
        after: Option<&ListPlace>,
    ) -> Sql {
        let way = self.ways(part).into_iter().nth(way).unwrap_or_default();
        let sql = sql
            .push(" FROM documents")
            .sqlite(part.index())
            .push(" WHERE ");
        let sql = part
            .folded(sql)
            .push(" = ")
            .bind(way.as_str())
            .push(part.condition());
        let Some(ListPlace { key, .. }) = after else {
            return sql;
        };
        // PostgreSQL with what stands before the key in the index, else it would rather walk along the key; SQLite without,
        // as it finds no place by what is computed.
        let sql = match sql.is_postgres() {
            true => part
                .folded(sql.push(" AND ("))
                .push(", number, major, minor) > (")
                .bind(way.as_str())
                .push(", "),
            false => sql.push(" AND (number, major, minor) > ("),
        };
        key_closed(sql, key)
    }

    /// ` AND …`: those of the source that are of the people who are asked for.
    pub(super) fn of_people(&self, mut sql: Sql, source: Source) -> Sql {
        for part in self.asked_besides(source) {
            sql = part
                .folded(sql.push(" AND "))
                .one_of(Type::Text, self.ways(part));
        }
        sql
    }

    fn asked_besides(&self, source: Source) -> impl Iterator<Item = Part> {
        Part::ALL
            .into_iter()
            .filter(|part| part.of(&self.people).is_some())
            .filter(move |part| !matches!(source, Source::Person(own, _) if own == *part))
    }

    fn ways(&self, part: Part) -> Vec<String> {
        part.of(&self.people)
            .map(|name| ways(name))
            .unwrap_or_default()
    }
}

/// In which ways a name may be written, with the letters a to z in small.
fn ways(name: &str) -> Vec<String> {
    let small = |letter: char| letter.to_lowercase().collect::<String>();
    let capital = |letter: char| letter.to_uppercase().collect::<String>();
    let two = |letter: char| !letter.is_ascii() && small(letter) != capital(letter);
    let mut ways: BTreeSet<String> = BTreeSet::from([name.to_owned()]);
    if name.chars().filter(|letter| two(*letter)).count() <= LETTERS_AT_MOST {
        ways = BTreeSet::from([String::new()]);
        for letter in name.chars() {
            let forms = match two(letter) {
                true => vec![letter.to_string(), small(letter), capital(letter)],
                false => vec![letter.to_string()],
            };
            let longer = ways
                .iter()
                .flat_map(|way| forms.iter().map(move |form| format!("{way}{form}")));
            ways = longer.collect();
        }
    } else {
        ways.insert(name.to_lowercase());
        ways.insert(name.to_uppercase());
        let mut begins = true;
        let mut titled = String::new();
        for letter in name.chars() {
            titled.push_str(&if begins {
                capital(letter)
            } else {
                small(letter)
            });
            begins = !letter.is_alphanumeric();
        }
        ways.insert(titled);
    }
    let ways: BTreeSet<String> = ways
        .into_iter()
        .map(|way| way.to_ascii_lowercase())
        .collect();
    ways.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_every_case() {
        assert_eq!(ways("Ann"), ["ann"]);
        assert_eq!(ways("ÅSA"), ["Åsa", "åsa"]);
        assert_eq!(ways("李雷"), ["李雷"]);
        let found = ways("jürgen müller");
        for way in ["jürgen müller", "jÜrgen mÜller", "jÜrgen müller"] {
            assert!(found.contains(&way.to_owned()), "{way}: {found:?}");
        }
        let found = ways("иван петров");
        for way in ["иван петров", "Иван Петров", "ИВАН ПЕТРОВ"] {
            assert!(found.contains(&way.to_owned()), "{way}: {found:?}");
        }
        assert!(found.len() <= 16);
    }
}
