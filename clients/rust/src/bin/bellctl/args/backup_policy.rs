//! `bellctl backup policy`.

use std::str::FromStr;

use clap::{Args, Subcommand};
use watchbell_client::pb::BackupKind;

use super::TimingArgs;
use crate::{label::choice, time::Length};

/// Commands about policies. A policy is named by its id, such as `daily-full`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Lists policies.
    #[command(after_help = "Example:\n  bellctl backup policy list")]
    List,
    /// Shows a policy.
    #[command(after_help = "Example:\n  bellctl backup policy show daily-full")]
    Show {
        /// Its id.
        id: PolicyName,
    },
    /// Creates a policy, and its task.
    #[command(
        after_help = "Example:\n  bellctl backup policy create hourly --cron '0 * * * *' --source database --keep-hourly 24 --keep-daily 7"
    )]
    Create(PolicyFields),
    /// Changes a policy: what is given, and nothing else.
    #[command(
        after_help = "Examples:\n  bellctl backup policy update daily-full --cron '30 1 * * *'\n  bellctl backup policy update daily-full --keep-last 14 --keep-monthly 12"
    )]
    Update(PolicyFields),
    /// Makes a policy's task run by its schedule again.
    #[command(after_help = "Example:\n  bellctl backup policy enable weekly-export")]
    Enable {
        /// Its id.
        id: PolicyName,
    },
    /// Takes the schedule from a policy's task.
    #[command(after_help = "Example:\n  bellctl backup policy disable weekly-export")]
    Disable {
        /// Its id.
        id: PolicyName,
    },
    /// Deletes a policy that was created here, and its task. Its restore points stay.
    #[command(after_help = "Example:\n  bellctl backup policy delete hourly")]
    Delete {
        /// Its id.
        id: PolicyName,
    },
}

/// What a policy is.
#[derive(Args, Debug)]
pub(crate) struct PolicyFields {
    /// Its id.
    pub(crate) id: PolicyName,
    /// What it makes. Cannot be changed later.
    #[arg(long, value_parser = choice::<BackupKind>())]
    pub(crate) kind: Option<BackupKind>,
    /// For people.
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// What it backs up: see `backup sources`. May be repeated.
    #[arg(long)]
    pub(crate) source: Vec<String>,
    /// 0 to 9; 9 is served first.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..=9))]
    pub(crate) priority: Option<i32>,
    #[command(flatten)]
    pub(crate) timing: TimingArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

/// Which restore points are kept. Any of these flags takes the place of all rules there were.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Retention")]
pub(crate) struct KeepArgs {
    /// The newest so many.
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep_last: Option<i32>,
    /// The newest of each of so many hours.
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep_hourly: Option<i32>,
    /// The newest of each of so many days.
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep_daily: Option<i32>,
    /// The newest of each of so many weeks.
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep_weekly: Option<i32>,
    /// The newest of each of so many months.
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep_monthly: Option<i32>,
    /// The newest of each of so many years.
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep_yearly: Option<i32>,
    /// All that are younger.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) keep_within: Option<Length>,
    /// Nothing older is kept by a rule.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) max_age: Option<Length>,
    /// Rules keep no more than so many.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_count: Option<i32>,
}

/// `backupPolicies/{policy}`, from that or from `{policy}` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyName(String);

impl PolicyName {
    pub(crate) fn resource(&self) -> String {
        format!("backupPolicies/{}", self.0)
    }

    pub(crate) fn id(&self) -> &str {
        &self.0
    }
}

impl FromStr for PolicyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.strip_prefix("backupPolicies/").unwrap_or(text);
        // The rest of the rule is the server's.
        if id.is_empty() || id.contains('/') || id.contains(char::is_whitespace) {
            return Err("expected the id of a policy, such as `daily-full`".to_owned());
        }
        Ok(Self(id.to_owned()))
    }
}
