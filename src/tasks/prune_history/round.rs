//! All tasks once, by pages, and each run begins elsewhere: those that fail are not always before the same others.

use crate::{
    domain::{Task, TaskName},
    engine::RunContext,
    error::Result,
    store::{Page, PageOf, TaskFilter},
};

/// Tasks held at once.
const PAGE: u64 = 500;

/// A way round all tasks, by name.
#[derive(Debug)]
pub(super) struct Tasks {
    /// How many there were at the beginning.
    pub(super) count: i64,
    /// It ends with this one; none where it begins with the first.
    first: Option<TaskName>,
    /// The next page begins behind this one.
    behind: Option<String>,
    /// It has come past the last name, and goes on at the first.
    is_round: bool,
    is_over: bool,
}

impl Tasks {
    /// Begins behind a task that the run's id chooses.
    pub(super) async fn begin(context: &RunContext) -> Result<Self> {
        let store = context.store();
        let count = store.task_counts().await?.total;
        let all = u128::try_from(count).unwrap_or(0).max(1);
        let offset = i64::try_from(context.run.0.as_u128() % all).unwrap_or(0);
        let first = store.task_name_at(offset).await?;
        Ok(Self {
            count,
            behind: first.as_ref().map(ToString::to_string),
            is_round: first.is_none(),
            is_over: false,
            first,
        })
    }

    /// The next tasks; none once all have come.
    pub(super) async fn next_page(&mut self, context: &RunContext) -> Result<Vec<Task>> {
        while !self.is_over {
            let page = Page {
                size: PAGE,
                after: self.behind.take(),
            };
            let all = TaskFilter::default();
            let PageOf { mut items, next } = context.store().tasks(&all, &page).await?;
            self.behind = next;
            if self.is_round
                && let Some(first) = &self.first
            {
                // In the order of the list, which may be that of a language.
                let end = items.iter().position(|task| task.name == *first);
                if let Some(end) = end {
                    items.truncate(end + 1);
                    self.behind = None;
                }
            }
            if self.behind.is_none() {
                self.is_over = self.is_round;
                self.is_round = true;
            }
            if !items.is_empty() {
                return Ok(items);
            }
        }
        Ok(Vec::new())
    }
}
