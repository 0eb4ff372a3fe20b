//! What the locale says of numbers: where 1,5 is one, spreadsheets separate columns by semicolons.

use std::env;

use watchbell_client::register::Separator;

/// Languages that write 1,5.
const WITH_COMMA: [&str; 45] = [
    "af", "az", "be", "bg", "bs", "ca", "cs", "da", "de", "el", "es", "et", "eu", "fi", "fr", "gl",
    "hr", "hu", "hy", "id", "is", "it", "ka", "kk", "lt", "lv", "mk", "nb", "nl", "nn", "no", "pl",
    "pt", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "tr", "uk", "uz", "vi", "fo",
];

/// Places where such a language writes 1.5.
const WITH_POINT: [&str; 14] = [
    "de_CH", "de_LI", "it_CH", "es_MX", "es_US", "es_PR", "es_GT", "es_HN", "es_NI", "es_PA",
    "es_PE", "es_SV", "es_DO", "es_CU",
];

/// Places where a language that writes 1.5 elsewhere does not.
const ELSE_WITH_COMMA: [&str; 1] = ["en_ZA"];

/// What separates columns in the locale of whoever runs this.
pub(crate) fn separator() -> Separator {
    let said = ["LC_ALL", "LC_NUMERIC", "LANG"]
        .into_iter()
        .filter_map(|name| env::var(name).ok())
        .find(|value| !value.is_empty());
    separator_of(&said.unwrap_or_default())
}

/// Such as of `de_DE.UTF-8`.
fn separator_of(locale: &str) -> Separator {
    let place = locale.split(['.', '@']).next().unwrap_or_default();
    let language = place.split('_').next().unwrap_or_default();
    let has_comma = ELSE_WITH_COMMA.contains(&place)
        || WITH_COMMA.contains(&language) && !WITH_POINT.contains(&place);
    match has_comma {
        true => Separator::Semicolon,
        false => Separator::Comma,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_separated_as_the_locale_has_it() {
        for (locale, separator) in [
            ("de_DE.UTF-8", Separator::Semicolon),
            ("fr_FR@euro", Separator::Semicolon),
            ("fr", Separator::Semicolon),
            ("en_ZA.UTF-8", Separator::Semicolon),
            ("de_CH.UTF-8", Separator::Comma),
            ("es_MX.UTF-8", Separator::Comma),
            ("en_US.UTF-8", Separator::Comma),
            ("C.UTF-8", Separator::Comma),
            ("POSIX", Separator::Comma),
            ("", Separator::Comma),
        ] {
            assert_eq!(separator_of(locale), separator, "{locale}");
        }
    }
}
