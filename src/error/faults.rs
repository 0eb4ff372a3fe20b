//! Fields that are wrong, told all at once.

use super::{Error, Result};

/// Faults of one request that are told: there may be as many wrong items in it as fit into a message.
const TOLD_AT_MOST: usize = 50;

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The path of the request's field.
    pub field: String,
    /// Description of what is wrong with it, and of what was expected.
    pub reason: String,
}

/// Collects what is wrong with the fields of one request, the first fifty faults of it, so that who corrects it sends it
/// twice and not ten times.
#[derive(Debug, Default)]
pub struct Faults(Vec<Wrong>);

impl Faults {
    /// What came of a check; nothing where its field is wrong, which is noted.
    ///
    /// # Errors
    /// What is not a wrong field.
    pub fn take<T>(&mut self, checked: Result<T>) -> Result<Option<T>> {
        match checked {
            Ok(value) => return Ok(Some(value)),
            Err(Error::Invalid { field, reason }) => self.note(Wrong { field, reason }),
            Err(Error::Several(wrong)) => wrong.into_iter().for_each(|wrong| self.note(wrong)),
            Err(other) => return Err(other),
        }
        Ok(None)
    }

    /// What is wrong with a whole may be told by each who looks at it.
    fn note(&mut self, wrong: Wrong) {
        if self.0.len() < TOLD_AT_MOST && !self.0.contains(&wrong) {
            self.0.push(wrong);
        }
    }

    /// Whether no field has proven wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends the checks with what one of them, or all of them, came to: there is none where a field is wrong.
    ///
    /// # Errors
    /// As [`Faults::done`].
    pub fn done_with<T>(self, value: Option<T>) -> Result<T> {
        self.done()?;
        value.ok_or_else(|| Error::internal("a value that is neither right nor wrong"))
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one wrong field, [`Error::Several`] for more.
    pub fn done(mut self) -> Result<()> {
        if 1 < self.0.len() {
            return Err(Error::Several(self.0));
        }
        match self.0.pop() {
            Some(Wrong { field, reason }) => Err(Error::Invalid { field, reason }),
            None => Ok(()),
        }
    }
}

/// Results of checks of several fields, made without regard to each other.
pub trait Checks {
    type Values;

    fn values(self) -> Result<Self::Values>;
}

macro_rules! checks {
    ($($name:ident: $value:ident),+) => {
        impl<$($value),+> Checks for ($(Result<$value>,)+) {
            type Values = ($($value,)+);

            fn values(self) -> Result<Self::Values> {
                let ($($name,)+) = self;
                let mut faults = Faults::default();
                $(let $name = faults.take($name)?;)+
                let values = match ($($name,)+) {
                    ($(Some($name),)+) => Some(($($name,)+)),
                    _ => None,
                };
                faults.done_with(values)
            }
        }
    };
}

checks!(a: A, b: B);
checks!(a: A, b: B, c: C);
checks!(a: A, b: B, c: C, d: D);
checks!(a: A, b: B, c: C, d: D, e: E);
checks!(a: A, b: B, c: C, d: D, e: E, f: F);
checks!(a: A, b: B, c: C, d: D, e: E, f: F, g: G);
checks!(a: A, b: B, c: C, d: D, e: E, f: F, g: G, h: H);

/// Values that checks of several fields came to, or all that is wrong with them.
///
/// # Errors
/// As [`Faults::done`]; what is not a wrong field.
pub fn all<C: Checks>(checks: C) -> Result<C::Values> {
    checks.values()
}

/// The same of items of one field or of many, in their order.
///
/// # Errors
/// As [`Faults::done`]; what is not a wrong field.
pub fn each<T>(checks: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut faults = Faults::default();
    let mut values = Vec::new();
    for checked in checks {
        values.extend(faults.take(checked)?);
    }
    faults.done_with(Some(values))
}

/// `a: …; b: …`
pub(super) fn sentence(wrong: &[Wrong]) -> String {
    let each: Vec<String> = wrong
        .iter()
        .map(|Wrong { field, reason }| format!("{field}: {reason}"))
        .collect();
    each.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_wrong_fields_are_told_and_what_is_no_field_at_once() {
        let mut faults = Faults::default();
        assert_eq!(faults.take(Ok(1)).unwrap(), Some(1));
        faults.done().unwrap();

        let mut faults = Faults::default();
        let wrong = |field| Err::<(), _>(Error::invalid(field, "no"));
        faults.take(wrong("a")).unwrap();
        faults.take(wrong("a")).unwrap();
        assert!(matches!(faults.done(), Err(Error::Invalid { field, .. }) if field == "a"));

        let mut faults = Faults::default();
        faults.take(wrong("a")).unwrap();
        faults.take(wrong("b")).unwrap();
        let both = faults.done();
        assert_eq!(
            both.as_ref().unwrap_err().to_string(),
            "invalid a: no; b: no"
        );
        let mut outer = Faults::default();
        outer.take(both).unwrap();
        assert!(matches!(outer.done(), Err(Error::Several(wrong)) if wrong.len() == 2));
        Faults::default()
            .take(Err::<(), _>(Error::internal("else")))
            .unwrap_err();
    }

    #[test]
    fn of_very_many_wrong_items_the_first_are_told() {
        let wrong =
            (0..100_000).map(|item| Err::<(), _>(Error::invalid(format!("a[{item}]"), "no")));
        let Err(Error::Several(told)) = each(wrong) else {
            panic!("all of them are wrong")
        };
        assert_eq!(told.len(), TOLD_AT_MOST);
        assert_eq!(told.last().unwrap().field, "a[49]");
    }

    #[test]
    fn several_checks_come_to_their_values_or_to_all_that_is_wrong() {
        assert_eq!(all((Ok(1), Ok("x"))).unwrap(), (1, "x"));
        assert_eq!(each([Ok(1), Ok(2)]).unwrap(), [1, 2]);
        let wrong = |field| Err::<u8, _>(Error::invalid(field, "no"));
        let told = all((wrong("a"), Ok(1), wrong("c")))
            .unwrap_err()
            .to_string();
        assert_eq!(told, "invalid a: no; c: no");
        let told = each([wrong("a"), Ok(1), wrong("b")]).unwrap_err();
        assert_eq!(told.to_string(), "invalid a: no; b: no");
        let other = all((wrong("a"), Err::<u8, _>(Error::internal("else"))));
        assert!(matches!(other, Err(Error::Internal(_))));
    }
}
