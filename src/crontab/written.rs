//! Writes a command and its task as TOML.

use super::command::Command;
use super::surroundings::Surroundings;
use super::{settings::Zone, toml};

/// A task that an entry becomes.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) name: &'a str,
    pub(super) command: &'a Command,
    pub(super) around: &'a Surroundings,
    pub(super) description: &'a str,
    pub(super) owner: Option<&'a str>,
    pub(super) cron: &'a str,
    pub(super) zone: &'a Zone,
}

impl Job<'_> {
    /// Both tables.
    pub(super) fn written(&self) -> String {
        format!("{}\n{}", self.command_table(), self.task_table())
    }

    fn command_table(&self) -> String {
        let Self {
            name,
            command,
            around,
            ..
        } = self;
        let mut table = format!("[commands.{name}]\nargv = {}\n", toml::array(&command.argv));
        if let Some(user) = &around.user {
            table += &format!("user = {}\n", toml::string(user));
        }
        if let Some(directory) = &around.directory {
            table += &format!("working_directory = {}\n", toml::string(directory));
        }
        if !around.environment.is_empty() {
            let variables: Vec<String> = around
                .environment
                .iter()
                .map(|(name, value)| format!("{} = {}", toml::key(name), toml::string(value)))
                .collect();
            table += &format!("environment = {{ {} }}\n", variables.join(", "));
        }
        if let Some(stdin) = &command.stdin {
            table += &format!("stdin = {}\n", toml::string(stdin));
        }
        // As cron does. Commands that leave nothing never notice.
        table += "leftovers = \"leave\"\n";
        table
    }

    fn task_table(&self) -> String {
        let zone = match self.zone {
            Zone::Named(zone) => format!(", time_zone = {}", toml::string(zone)),
            Zone::Unset | Zone::Unknown { .. } => String::new(),
        };
        let owner = match self.owner {
            Some(owner) => format!("owner = {}\n", toml::string(owner)),
            None => String::new(),
        };
        // The longest there is: cron ends nothing.
        format!(
            "[tasks.{name}]\nkind = \"command\"\ndescription = {}\n{owner}parameters = {{ command = {} }}\n\
             attempt_timeout = \"7d\"\nschedule = {{ cron = {}{zone} }}\n",
            toml::string(self.description),
            toml::string(self.name),
            toml::string(self.cron),
            name = self.name,
        )
    }
}
