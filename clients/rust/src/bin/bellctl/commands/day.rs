//! Days as people type them: `2026-03-01`, or such as `today+30` by the organisation's calendar, which the server knows.

use jiff::{ToSpan as _, civil::Date};
use watchbell_client::pb::GetStatusRequest;

use crate::{failure::Failure, output::remark, session::Session};

/// Days from today that a day may be away: a hundred years, as in a register.
const AWAY_MAX: i32 = 36_500;

/// The day that is meant. What names none from today is the server's to read, and to refuse.
pub(super) async fn day(session: &Session, text: &str) -> Result<String, Failure> {
    let Some(away) = from_today(text)? else {
        return Ok(text.to_owned());
    };
    let today = today(session).await?;
    let day = today
        .checked_add(away.days())
        .map_err(|_| too_far(text.trim()))?;
    Ok(day.to_string())
}

/// The organisation's day.
async fn today(session: &Session) -> Result<Date, Failure> {
    let response = session
        .ask(GetStatusRequest {}, async |request| {
            session.client.scheduler().get_status(request).await
        })
        .await?;
    let documents = response.status.unwrap_or_default().documents;
    if let Ok(today) = documents.unwrap_or_default().today.parse() {
        return Ok(today);
    }
    let today = session.clock.now.to_zoned(session.clock.zone.clone());
    let today = today.date();
    remark(&format!(
        "the server does not tell its day: today is taken to be {today}, as on this machine"
    ));
    Ok(today)
}

/// How many days it is away from today, where it says that.
fn from_today(text: &str) -> Result<Option<i32>, Failure> {
    let text = text.trim();
    let small = text.to_ascii_lowercase();
    let rest = match small.as_str() {
        "today" => return Ok(Some(0)),
        "tomorrow" => return Ok(Some(1)),
        "yesterday" => return Ok(Some(-1)),
        other => match other.strip_prefix("today") {
            Some(rest) => rest.trim_start(),
            None => return Ok(None),
        },
    };
    let (sign, digits) = match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        (None, None) => return Err(no_day(text)),
    };
    let digits = digits.trim_start();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_day(text));
    }
    // So many digits that it is no number are too many days as well.
    let days: i32 = digits.parse().unwrap_or(i32::MAX);
    if AWAY_MAX < days {
        return Err(too_far(text));
    }
    Ok(Some(sign * days))
}

fn no_day(text: &str) -> Failure {
    Failure::Usage(format!(
        "`{text}` is no day: expected one such as `2026-03-01`, `today`, `tomorrow`, `today+30` or `today-7`"
    ))
}

fn too_far(text: &str) -> Failure {
    Failure::Usage(format!(
        "`{text}` is too far away: expected at most {AWAY_MAX} days from today"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_from_today_are_read_and_others_are_the_servers() {
        for (text, away) in [
            ("today", Some(0)),
            (" Today ", Some(0)),
            ("tomorrow", Some(1)),
            ("yesterday", Some(-1)),
            ("today+30", Some(30)),
            ("today - 7", Some(-7)),
            ("TODAY+0", Some(0)),
            ("2026-03-01", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(from_today(text).unwrap(), away, "{text:?}");
        }
        for wrong in ["today+", "today30", "today+x", "today+-1", "today+36501"] {
            assert!(
                matches!(from_today(wrong), Err(Failure::Usage(_))),
                "{wrong}"
            );
        }
    }
}
