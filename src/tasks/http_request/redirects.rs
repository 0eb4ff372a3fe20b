//! Which redirects are followed: those that do the same work elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode, redirect::Policy};

const REDIRECTS_MAX: usize = 5;

/// The policy of a request. After 301 and 302 clients ask for the new place by GET, and without a body: what
/// was to be sent would not be, and the answer to something else would be taken for the answer. So a request
/// that is neither GET nor HEAD follows only 307 and 308, which send it again as it is, and 303, by which its
/// receiver says that it has done the work and where to read of it. What is not followed is judged by its status.
pub(super) fn policy(follow: bool, method: &Method) -> Policy {
    if !follow {
        return Policy::none();
    }
    let reads = AtomicBool::new([Method::GET, Method::HEAD].contains(method));
    Policy::custom(move |attempt| {
        if REDIRECTS_MAX < attempt.previous().len() {
            return attempt.error(format!("more than {REDIRECTS_MAX} redirects"));
        }
        if attempt.status() == StatusCode::SEE_OTHER {
            reads.store(true, Ordering::Relaxed);
        }
        let same = [
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        match reads.load(Ordering::Relaxed) || same.contains(&attempt.status()) {
            true => attempt.follow(),
            false => attempt.stop(),
        }
    })
}
