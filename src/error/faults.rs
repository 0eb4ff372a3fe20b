//! Fields that are wrong, told all at once.

use super::{Error, Result};

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The path of the request's field.
    pub field: String,
    /// Description of what is wrong with it, and of what was expected.
    pub reason: String,
}

/// Collects what is wrong with the fields of one request, so that who corrects it sends it twice and not ten times.
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
            Err(Error::Invalid { field, reason }) => self.0.push(Wrong { field, reason }),
            Err(Error::Several(wrong)) => self.0.extend(wrong),
            Err(other) => return Err(other),
        }
        Ok(None)
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
        // What is wrong with a whole may be told by each who looks at it.
        let mut told = Vec::with_capacity(self.0.len());
        self.0.retain(|wrong| {
            let new = !told.contains(wrong);
            told.push(wrong.clone());
            new
        });
        if 1 < self.0.len() {
            return Err(Error::Several(self.0));
        }
        match self.0.pop() {
            Some(Wrong { field, reason }) => Err(Error::Invalid { field, reason }),
            None => Ok(()),
        }
    }
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
}
