//! Real time: a storm has to blow for a while, and what must happen has a limit.

use std::time::Duration;

use watchbell::clock::Stopwatch;

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Lets the storm blow.
pub(super) async fn pass(span: Duration) {
    tokio::time::sleep(span).await;
}

/// The next of some looks at what no event tells.
pub(super) async fn look_again() {
    tokio::time::sleep(LOOK_AGAIN).await;
}

/// The first answer, and how long it took; none within `limit` fails the story.
pub(super) async fn soon<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> (T, Duration) {
    let watch = Stopwatch::start();
    let asked = tokio::time::timeout(limit, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            look_again().await;
        }
    });
    match asked.await {
        Ok(answer) => (answer, watch.elapsed()),
        Err(_) => panic!("waited {limit:?} in vain for {what}"),
    }
}
