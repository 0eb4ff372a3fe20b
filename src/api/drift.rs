//! GetDrift: what differs from the configuration, by pages that end with a task.

use tonic::Response;

use super::{Reply, convert::time, page};
use crate::{
    domain::TaskName,
    engine::{DriftItem, DriftPage, Engine},
    pb,
    store::Adrift,
};

/// How many of what is left off are looked at.
const COUNTED: usize = 10_000;

/// A page, and how many tasks it leaves off.
pub(super) async fn page(
    engine: &Engine,
    request: pb::GetDriftRequest,
) -> Reply<pb::GetDriftResponse> {
    let size = page::size(request.page_size, page::SIZE_MAX)?;
    let scope = page::scope(&["GetDrift"]);
    let behind: Option<TaskName> = match page::key(&scope, &request.page_token)? {
        Some(key) => Some(page::read(&key)?),
        None => None,
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let DriftPage { items, next } = engine.drift(behind.as_ref(), size).await?;
    let mut items: Vec<pb::DriftItem> = items.into_iter().map(item).collect();
    let mut next = cut(&mut items).or(next);
    let mut left_off = Adrift {
        number: 0,
        is_all: true,
    };
    if let Some(behind) = &next {
        left_off = engine.store().tasks_adrift(behind, COUNTED).await?;
    }
    // What was looked at may end where all ends: then there is no other page.
    if left_off.number == 0 && left_off.is_all {
        next = None;
    }
    Ok(Response::new(pb::GetDriftResponse {
        items,
        next_page_token: next.map_or_else(String::new, |next| page::token(&scope, next.as_str())),
        left_off_count: left_off.number,
        left_off_may_be_more: !left_off.is_all,
    }))
}

/// Cuts a page that is too large behind a task whose items are all in it; says which one that is.
fn cut(items: &mut Vec<pb::DriftItem>) -> Option<TaskName> {
    let fits = page::fit(items);
    let over = items.get(fits)?.subject.clone();
    // The first task stays whole, however much that is.
    let whole = items[..fits].iter().rposition(|item| item.subject != over);
    let upto = match whole {
        Some(last) if items[last].subject.starts_with("tasks/") => last + 1,
        _ => items.iter().rposition(|item| item.subject == over)? + 1,
    };
    items.truncate(upto);
    let last = items.last()?.subject.strip_prefix("tasks/")?;
    last.parse().ok()
}

fn item(item: DriftItem) -> pb::DriftItem {
    pb::DriftItem {
        r#type: item.kind.to_owned(),
        subject: item.subject,
        message: item.message,
        since_time: time::stamp_of(item.since),
        principal: item.principal.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(subject: &str, bytes: usize) -> pb::DriftItem {
        pb::DriftItem {
            subject: subject.to_owned(),
            message: "x".repeat(bytes),
            ..pb::DriftItem::default()
        }
    }

    #[test]
    fn a_page_that_is_too_large_ends_with_a_whole_task() {
        const LARGE: usize = 600 << 10;
        let cut = |mut items: Vec<pb::DriftItem>| {
            let next = cut(&mut items).map(|next| next.to_string());
            (items.len(), next)
        };
        let (one, two) = ("tasks/one", "tasks/two");
        assert_eq!(cut(vec![of(one, 10), of(two, 10)]), (2, None));
        let more = vec![of(one, LARGE), of(two, 10), of(two, LARGE)];
        assert_eq!(cut(more), (1, Some("one".to_owned())));
        let first = vec![of(one, LARGE), of(one, LARGE), of(two, 10)];
        assert_eq!(cut(first), (2, Some("one".to_owned())));
    }
}
