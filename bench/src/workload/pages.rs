//! Walks through lists, page after page.

use std::time::Instant;

use anyhow::ensure;

/// Whether there is anything of what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Is,
    IsNone,
}

/// Milliseconds of each of so many pages, the first of which has an empty token. A page says how many it holds, and the
/// token of the next.
///
/// # Errors
/// Also where nothing is found that is there, or something that is not: then another thing was measured than is said.
pub(super) async fn walk(
    pages: usize,
    there: There,
    page: impl AsyncFn(String) -> anyhow::Result<(usize, String)>,
) -> anyhow::Result<Vec<f64>> {
    let (mut took, mut found) = (Vec::with_capacity(pages), 0);
    let mut token = String::new();
    while took.len() < pages {
        let began = Instant::now();
        let (count, next) = page(token).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        found += count;
        // Where there is no more, again from the beginning.
        token = next;
    }
    ensure!(
        (there == There::Is) == (0 < found),
        "{found} were found on {pages} pages"
    );
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn page(token: String) -> anyhow::Result<(usize, String)> {
        match token.as_str() {
            "" => Ok((2, "second".to_owned())),
            "second" => Ok((1, String::new())),
            other => anyhow::bail!("no page begins at {other}"),
        }
    }

    async fn empty(_: String) -> anyhow::Result<(usize, String)> {
        Ok((0, String::new()))
    }

    #[tokio::test]
    async fn walks_begin_again_and_fail_where_they_find_what_they_should_not() {
        assert_eq!(walk(5, There::Is, page).await.unwrap().len(), 5);
        let error = walk(5, There::IsNone, page).await.unwrap_err();
        assert_eq!(error.to_string(), "8 were found on 5 pages");
        walk(2, There::IsNone, empty).await.unwrap();
        walk(2, There::Is, empty).await.unwrap_err();
    }
}
