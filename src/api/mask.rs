//! Masks of updates whose fields are whole: which of them are meant.

use crate::error::{Error, Result, each};

/// Names of the fields that a mask means, of those that can be changed; none where it is unset or empty.
///
/// # Errors
/// [`Error::Invalid`] for `update_mask`.
pub(super) fn meant<const COUNT: usize>(
    mask: Option<&prost_types::FieldMask>,
    fields: [&'static str; COUNT],
) -> Result<Option<Vec<&'static str>>> {
    let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else {
        return Ok(None);
    };
    if mask.paths == ["*"] {
        return Ok(Some(fields.to_vec()));
    }
    let named = each(mask.paths.iter().map(|path| {
        let known = fields.into_iter().find(|field| field == path);
        known.ok_or_else(|| {
            let what = format!(
                "{path:?} is no field that can be changed; expected some of {}",
                fields.join(", ")
            );
            Error::invalid("update_mask", what)
        })
    }));
    named.map(Some)
}
