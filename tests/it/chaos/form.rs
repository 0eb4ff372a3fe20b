//! How long a story is told: short in `make test`, long in `make chaos`.

use crate::support::tell;

/// `make chaos` sets it to `long`.
const VARIABLE: &str = "WATCHBELL_TEST_CHAOS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Short,
    Long,
}

impl Form {
    #[expect(clippy::disallowed_methods, reason = "a test's own setting")]
    pub(super) fn now() -> Self {
        match std::env::var(VARIABLE) {
            Ok(word) if word == "long" => Self::Long,
            Ok(word) if word != "short" => {
                panic!("{VARIABLE}: {word} given; expected short or long")
            }
            _ => Self::Short,
        }
    }

    pub(super) fn pick<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// Whether a story is left to `make chaos`, with a word: others like it are told in the short form.
pub(super) fn at_length_only(what: &str) -> bool {
    let is_short = Form::now() == Form::Short;
    if is_short {
        tell(&format!("LEFT TO `make chaos`: {what}"));
    }
    is_short
}
