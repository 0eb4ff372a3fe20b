//! What a crontab's settings have made of the environment so far, and which of them mean nothing here.

use std::collections::BTreeMap;

use crate::domain::schedule::{Schedule, ScheduleSpec};
use crate::domain::task::OWNER_MAX;

use super::Reason;
use super::line::BLANK;
use super::toml::quoted;

/// The settings above a line of one file.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// For the commands, SHELL and cron's own variables taken out.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) shell: Option<String>,
    /// The line of a SHELL that nothing can start.
    pub(super) broken_shell: Option<usize>,
    /// To whom cron mailed the output.
    pub(super) owner: Option<String>,
    pub(super) zone: Zone,
}

/// The zone that CRON_TZ sets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Zone {
    /// None: cron used the machine's.
    #[default]
    Unset,
    Named(String),
    /// One that cannot be carried over, so when the entries below run is not known.
    Unknown {
        line: usize,
    },
}

/// What there is to say about a setting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: it is in the environment of the commands below.
    Carried,
    /// It is carried, with a remark.
    Noted(String),
    /// MAILTO="": no mail was wanted, and none is sent.
    NoMail,
    Left(Reason),
}

/// Variables that make a shell read a file before it runs a command.
const STARTUP_FILES: [&str; 2] = ["BASH_ENV", "ENV"];

impl Settings {
    /// Applies the setting of `line` to what comes below.
    pub(super) fn set(&mut self, line: usize, name: &str, value: &str) -> Effect {
        match name {
            "SHELL" => self.set_shell(line, value),
            "MAILTO" => self.set_owner(value),
            "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING" => Effect::Left(
                "it shapes cron's mail, and output goes to the run log, not into mail".into(),
            ),
            "RANDOM_DELAY" => Effect::Left(random_delay(value)),
            "START_HOURS_RANGE" => Effect::Left("it is a setting of anacron".into()),
            "CRON_TZ" => self.set_zone(line, value),
            "LOGNAME" => Effect::Noted(
                "cron itself sets LOGNAME to the user who runs the entry, over what stands here, and \
                 so does Watchbell"
                    .into(),
            ),
            "HOME" => {
                self.environment.insert(name.to_owned(), value.to_owned());
                Effect::Noted("cron starts the entries below in this directory, and so does Watchbell".into())
            }
            _ => {
                self.environment.insert(name.to_owned(), value.to_owned());
                remark(name, value).map_or(Effect::Carried, Effect::Noted)
            }
        }
    }

    /// Whether the environment makes a shell do more than run the command.
    pub(super) fn has_startup_file(&self) -> bool {
        STARTUP_FILES
            .iter()
            .any(|name| self.environment.contains_key(*name))
    }

    /// All of it is the program's name to cron, arguments too.
    fn set_shell(&mut self, line: usize, value: &str) -> Effect {
        self.broken_shell = None;
        self.shell = (!value.is_empty()).then(|| value.to_owned());
        if !value.contains(BLANK) {
            return Effect::Carried;
        }
        self.broken_shell = Some(line);
        Effect::Left(format!(
            "SHELL is {}, and a SHELL with arguments cannot be started: the entries below are left out too",
            quoted(value)
        ))
    }

    fn set_owner(&mut self, value: &str) -> Effect {
        self.owner = None;
        if value.is_empty() {
            return Effect::NoMail;
        }
        if OWNER_MAX < value.chars().count() || value.contains(char::is_control) {
            return Effect::Left(format!(
                "it is no owner of a task: expected at most {OWNER_MAX} characters, none of them a control \
                 character; and no mail is sent"
            ));
        }
        self.owner = Some(value.to_owned());
        Effect::Noted(
            "kept as the owner of the tasks below; no mail is sent, output goes to the run log"
                .into(),
        )
    }

    fn set_zone(&mut self, line: usize, value: &str) -> Effect {
        if value.is_empty() {
            self.zone = Zone::Unset;
            return Effect::Carried;
        }
        if !is_zone_name(value) {
            self.zone = Zone::Unknown { line };
            return Effect::Left(format!(
                "{} is not the name of an IANA time zone, so the entries below are left out too",
                quoted(value)
            ));
        }
        self.zone = Zone::Named(value.to_owned());
        Effect::Noted(
            "cronie runs the entries below in this zone and so does Watchbell; Debian's cron ignores \
             CRON_TZ"
                .into(),
        )
    }
}

/// Whether the server will know the zone: what it would refuse is not carried over.
pub fn is_zone_name(value: &str) -> bool {
    let spec = ScheduleSpec {
        cron: Some("@daily".to_owned()),
        time_zone: Some(value.to_owned()),
        ..ScheduleSpec::default()
    };
    Schedule::parse(&spec, "crontab", "UTC").is_ok()
}

fn random_delay(value: &str) -> Reason {
    let minutes = value.parse::<u16>();
    match minutes {
        Ok(minutes) => format!(
            "cronie draws one delay of up to {minutes} min for each entry when it starts; where that is \
             wanted, give the task a spread of {minutes} min"
        ),
        Err(_) => "its value is not a number of minutes".into(),
    }
}

fn remark(name: &str, value: &str) -> Option<String> {
    match name {
        "TZ" => Some(
            "TZ is for the commands; cron does not schedule by it, and neither does Watchbell"
                .into(),
        ),
        "USER" => Some(
            "Debian's cron hands USER over as it stands here; cronie sets it to the user who runs the entry"
                .into(),
        ),
        _ if value.contains('$') => Some(format!(
            "cron expands nothing in a setting, so {name} keeps its `$`"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> (Settings, Effect) {
        let mut settings = Settings::default();
        let effect = settings.set(3, name, value);
        (settings, effect)
    }

    #[test]
    fn a_variable_reaches_the_commands_and_the_shell_is_kept_apart() {
        let (settings, effect) = set("PATH", "/bin");
        assert_eq!(settings.environment["PATH"], "/bin");
        assert_eq!(effect, Effect::Carried);
        let (settings, _) = set("SHELL", "/bin/bash");
        assert_eq!(settings.shell.as_deref(), Some("/bin/bash"));
        assert!(settings.environment.is_empty());
        assert!(set("BASH_ENV", "/x").0.has_startup_file());
    }

    #[test]
    fn what_shapes_mail_is_left_out() {
        for name in ["MAILFROM", "CONTENT_TYPE"] {
            let (settings, effect) = set(name, "x");
            assert!(matches!(effect, Effect::Left(_)), "{name}");
            assert!(settings.environment.is_empty(), "{name}");
        }
    }

    #[test]
    fn who_got_the_mail_owns_the_tasks() {
        let (mut settings, effect) = set("MAILTO", "ada@example.org,bob");
        assert_eq!(settings.owner.as_deref(), Some("ada@example.org,bob"));
        assert!(matches!(effect, Effect::Noted(text) if text.contains("no mail is sent")));
        assert!(settings.environment.is_empty());
        assert_eq!(settings.set(4, "MAILTO", ""), Effect::NoMail);
        assert_eq!(settings.owner, None);
        for wrong in ["x".repeat(257), "a\tb".to_owned()] {
            let (settings, effect) = set("MAILTO", &wrong);
            assert!(matches!(effect, Effect::Left(_)), "{wrong}");
            assert_eq!(settings.owner, None);
        }
    }

    #[test]
    fn a_shell_with_arguments_cannot_be_started() {
        let (mut settings, effect) = set("SHELL", "/bin/bash -l");
        assert_eq!(settings.broken_shell, Some(3));
        assert!(
            matches!(effect, Effect::Left(reason) if reason.contains("`/bin/bash -l`") && reason.contains("arguments"))
        );
        assert_eq!(settings.set(4, "SHELL", "/bin/bash"), Effect::Carried);
        assert_eq!(settings.broken_shell, None);
    }

    #[test]
    fn nobody_calls_himself_another() {
        let (settings, effect) = set("LOGNAME", "bob");
        assert!(settings.environment.is_empty());
        assert!(matches!(effect, Effect::Noted(_)));
    }

    #[test]
    fn cron_tz_sets_the_zone_and_tz_does_not() {
        for zone in ["Europe/Paris", "UTC", "Etc/GMT+5", "America/Port-au-Prince"] {
            assert_eq!(set("CRON_TZ", zone).0.zone, Zone::Named(zone.into()));
        }
        for zone in [
            "CET-1CEST",
            "CET-1CEST,M3.5.0,M10.5.0/3",
            ":UTC",
            "a b",
            "Mars/X",
            "nonsense",
        ] {
            let (settings, effect) = set("CRON_TZ", zone);
            assert_eq!(settings.zone, Zone::Unknown { line: 3 });
            assert!(matches!(effect, Effect::Left(_)), "{zone}");
        }
        let (settings, effect) = set("TZ", "Asia/Tokyo");
        assert_eq!(settings.zone, Zone::Unset);
        assert_eq!(settings.environment["TZ"], "Asia/Tokyo");
        assert!(matches!(effect, Effect::Noted(_)));
    }

    #[test]
    fn a_random_delay_says_what_to_write_instead() {
        let Effect::Left(reason) = set("RANDOM_DELAY", "45").1 else {
            panic!("carried");
        };
        assert!(reason.contains("a spread of 45 min"), "{reason}");
    }

    #[test]
    fn a_dollar_in_a_value_is_pointed_out() {
        let effect = set("PATH", "$HOME/bin").1;
        assert!(matches!(effect, Effect::Noted(text) if text.contains("expands nothing")));
    }
}
