//! The kinds of problem: the one table of what can be wrong, how grave it is, and what to do about it.

use super::Severity;
use crate::domain::text::text_enum;

text_enum! {
    /// A kind of problem. Its text goes outside and into the database; a kind is never renamed.
    ProblemKind {
        BackupArchiveOld = "backup.archive_old",
        BackupCoverage = "backup.coverage",
        BackupDamaged = "backup.damaged",
        BackupDrillOld = "backup.drill_old",
        BackupFailed = "backup.failed",
        BackupNever = "backup.never",
        BackupNoneEnabled = "backup.none_enabled",
        BackupNotDrilled = "backup.not_drilled",
        BackupOverdue = "backup.overdue",
        BackupPartial = "backup.partial",
        BackupRetentionFrozen = "backup.retention_frozen",
        BackupRetentionStuck = "backup.retention_stuck",
        BackupShrunk = "backup.shrunk",
        BackupSpace = "backup.space",
        BackupStale = "backup.stale",
        BackupUnavailable = "backup.unavailable",
        BackupUnready = "backup.unready",
        BackupVerificationFailed = "backup.verification_failed",
        ClockBehind = "clock.behind",
        ClockHeld = "clock.held",
        ClockOffset = "clock.offset",
        ConfigurationOlder = "configuration.older",
        ConfigurationRollback = "configuration.rollback",
        ConfigurationShrunk = "configuration.shrunk",
        ContentDamaged = "content.damaged",
        ContentMissing = "content.missing",
        DatabaseLogLong = "database.log_long",
        DatabaseLoose = "database.loose",
        DatabaseUnreachable = "database.unreachable",
        DatabaseUnwritable = "database.unwritable",
        DocumentDependsOnDead = "document.depends_on_dead",
        DocumentEffectiveOverdue = "document.effective_overdue",
        DocumentNumberTwins = "document.number_twins",
        DocumentObsolescenceOverdue = "document.obsolescence_overdue",
        HealthClockOffset = "health.clock_offset_ms",
        HealthDatabaseLatency = "health.database_latency_ms",
        HealthDiskFree = "health.disk_free_percent",
        HealthLateSlots = "health.late_slots",
        HealthLoad = "health.load_per_core",
        HealthMemory = "health.memory_available_percent",
        HealthQueueDepth = "health.queue_depth",
        LedgerHole = "ledger.hole",
        LogStalled = "log.stalled",
        LoopPanicked = "loop.panicked",
        MonitorBlind = "monitor.blind",
        MonitorMore = "monitor.more",
        MonitorStalled = "monitor.stalled",
        Paused = "paused",
        ReplicaDraining = "replica.draining",
        ReplicaSilent = "replica.silent",
        ReplicaTzdata = "replica.tzdata",
        RunOverdue = "run.overdue",
        ScheduleUnreadable = "schedule.unreadable",
        ServerConnections = "server.connections",
        SlotLate = "slot.late",
        SlotUndecided = "slot.undecided",
        TaskFailing = "task.failing",
        TaskOverrideMisfit = "task.override_misfit",
        TaskPaused = "task.paused",
        TaskStale = "task.stale",
        TaskUnrunnable = "task.unrunnable",
    }
}

impl ProblemKind {
    /// How grave a problem of this kind is, where nothing else is known of it.
    pub fn severity(self) -> Severity {
        self.about().0
    }

    /// What to do about it, where nothing else is known of it.
    pub fn advice(self) -> &'static str {
        self.about().1
    }

    fn about(self) -> (Severity, &'static str) {
        use Severity::{Critical, Warning};
        match self {
            Self::BackupArchiveOld => (
                Warning,
                "see whether the second location can be reached, and run it",
            ),
            Self::BackupCoverage => (Warning, "see tasks/verify-backups, which reads one a day"),
            Self::BackupDamaged => (
                Critical,
                "back up anew; mend the repository by restic, and read the point again by `bellctl backup verify`",
            ),
            Self::BackupDrillOld => (
                Warning,
                "see tasks/verify-backups, or drill by `bellctl backup drill --wait`",
            ),
            Self::BackupFailed => (
                Critical,
                "see them by `bellctl run list`, and mend the cause",
            ),
            Self::BackupNever | Self::BackupStale => (
                Critical,
                "see the last runs of its task, mend the cause, and run one: `bellctl backup run daily-full --wait`",
            ),
            Self::BackupNoneEnabled => (
                Warning,
                "enable one, such as by `bellctl backup policy enable daily-full`",
            ),
            Self::BackupNotDrilled => (
                Warning,
                "let the server's role make databases (ALTER ROLE … CREATEDB), or name an empty one by backups.drill_database; then drill by `bellctl backup drill --wait`",
            ),
            Self::BackupOverdue => (
                Critical,
                "see its task's last run, mend the cause, and run it: `bellctl backup run`",
            ),
            Self::BackupPartial => (
                Warning,
                "see what is missing by `bellctl backup show`, and mend it",
            ),
            Self::BackupRetentionFrozen => (Warning, "mend that; retention goes on by itself"),
            Self::BackupRetentionStuck => (
                Critical,
                "see why by `bellctl backup plan-retention`, and mend it, or accept what was lost by `bellctl backup accept`",
            ),
            Self::BackupShrunk => (
                Warning,
                "see whether so much was really removed; if it was, `bellctl backup accept` the restore point",
            ),
            Self::BackupSpace => (Warning, "make room, or keep less"),
            Self::BackupUnavailable => (
                Warning,
                "put it back into the configuration, or update the policy",
            ),
            Self::BackupVerificationFailed => (
                Critical,
                "see its run's log; make a new full backup, and keep the repository as it is for repair",
            ),
            Self::ClockBehind => (
                Critical,
                "see that the clock is right now; if it was ahead before, wait until then, and trigger by hand what \
                 must run sooner; or have a task begin anew by `bellctl task realign`",
            ),
            Self::ClockHeld => (
                Critical,
                "see whether the clock is right: set it, if not; if it is, go on by `bellctl clock accept`",
            ),
            Self::ClockOffset => (
                Critical,
                "set both hosts' clocks by NTP; this replica is not ready until they agree",
            ),
            Self::BackupUnready => (
                Critical,
                "see that the password and the repository are there and may be read and written; it is looked at again",
            ),
            Self::ConfigurationOlder => (
                Critical,
                "start it with the newer file; or, if the older one is meant, with --apply-older",
            ),
            Self::ConfigurationRollback => (
                Warning,
                "see that this is what was meant; it is told for a day",
            ),
            Self::ConfigurationShrunk => (
                Warning,
                "see that the file is whole; tasks that it names again go on with their history; else this is told for a \
                 week",
            ),
            Self::TaskUnrunnable => (
                Critical,
                "bring it there, or change the configuration; it is looked at again, and its runs fail or wait until then",
            ),
            Self::ContentDamaged => (
                Critical,
                "upload it again, or restore the file below `contents` in the data directory from a backup, and see \
                 whether the disk is sound; what was there is in `contents/damaged`",
            ),
            Self::ContentMissing => (
                Critical,
                "restore the file below `contents` in the data directory from a backup, or upload it again",
            ),
            Self::DatabaseLogLong => (
                Warning,
                "see what reads from the file for so long, such as a shell or a program that copies it, and end that; the \
                 log begins anew by itself then",
            ),
            Self::DatabaseLoose => (
                Warning,
                "stop the server when it suits, run `watchbell vacuum`, and start it again; from then on it happens by \
                 itself",
            ),
            Self::DatabaseUnreachable => (
                Critical,
                "see that it runs, that its disk is not full, and that this host reaches it; work resumes by itself",
            ),
            Self::DatabaseUnwritable => (
                Critical,
                "see that its disk is not full, that it is not read-only, and that no other program holds it locked; \
                 work resumes by itself",
            ),
            Self::DocumentDependsOnDead => (
                Warning,
                "take what is dead from what it depends on: in a draft by `bellctl document update`, in what is in force \
                 by a new version; or end it",
            ),
            Self::DocumentEffectiveOverdue | Self::DocumentObsolescenceOverdue => (
                Critical,
                "see whether the task runs, and what its last run says of them",
            ),
            Self::DocumentNumberTwins => (
                Warning,
                "end all but one of each, by terminating drafts or scheduling what is in force for obsolescence; until \
                 then each is found by its own spelling",
            ),
            Self::HealthClockOffset => (
                Warning,
                "set the clocks of this host and of the database's by NTP",
            ),
            Self::HealthDatabaseLatency => (
                Warning,
                "see what else the database is doing, and how its disk is",
            ),
            Self::HealthDiskFree => (
                Warning,
                "free space on the disk of the data directory, or move it",
            ),
            Self::HealthLateSlots => (
                Warning,
                "see whether the scheduler ticks: the status says when it last did",
            ),
            Self::HealthLoad => (Warning, "see which processes keep the host busy"),
            Self::HealthMemory => (Warning, "see which process grows"),
            Self::HealthQueueDepth => (
                Warning,
                "see which task fills the queue, or raise max_running",
            ),
            Self::LedgerHole => (
                Critical,
                "run `watchbell audit-slots`, keep its output and a copy of the database, and look for a second \
                 scheduler",
            ),
            Self::LogStalled => (
                Critical,
                "see in pg_stat_activity what the processes are at that its message names, and end those of a server \
                 that hangs by pg_terminate_backend; watches go on by themselves, with all that has happened",
            ),
            Self::LoopPanicked => (
                Critical,
                "it was started again; keep the server's log, and report the fault",
            ),
            Self::MonitorBlind => (
                Warning,
                "see the server's log; what it last saw stays in the status until it can look again",
            ),
            Self::MonitorMore => (
                Warning,
                "mend what is shown: it is the gravest of what is open",
            ),
            Self::MonitorStalled => (
                Critical,
                "see the server's log, and whether its disks and its database answer; restart the server where it \
                 does not go on by itself: until then what it looks after is not known",
            ),
            Self::ReplicaDraining => (
                Warning,
                "stop it once nothing runs; a restart, its time or `watchbell drain --end` ends the drain",
            ),
            Self::Paused => (
                Warning,
                "resume it by `bellctl resume` once what it was paused for is over, or give the pause an end",
            ),
            Self::RunOverdue => (
                Critical,
                "see what is running by `bellctl run list --state running`; cancel what hangs, give such tasks an \
                 attempt timeout or a progress deadline, or raise max_running",
            ),
            Self::TaskPaused => (
                Warning,
                "resume it by `bellctl task resume`, or give the pause an end; a task that is not needed any more can \
                 be left without a schedule",
            ),
            Self::TaskStale => (
                Critical,
                "see what became of its slots by `bellctl task slots`, and mend the cause; it is over with the next \
                 full success, also of a run by hand",
            ),
            Self::ReplicaSilent => (
                Warning,
                "see whether it was stopped for good; it is forgotten a day after its last sign",
            ),
            Self::ReplicaTzdata => (
                Warning,
                "update the tz database of that host; it is seen without a restart, and what it has planned is planned \
                 anew",
            ),
            Self::ScheduleUnreadable => (
                Critical,
                "give the task a schedule that this server knows, or install the zone's rules; it goes on by itself \
                 then",
            ),
            Self::ServerConnections => (
                Critical,
                "see who holds them open, such as by `ss -tnp`, and end that; where all are needed, raise max_connections \
                 and the unit's LimitNOFILE",
            ),
            Self::SlotLate => (
                Critical,
                "see whether the server was down or overloaded then, and whether the work it stands for still matters",
            ),
            Self::SlotUndecided => (
                Critical,
                "see whether the server's scheduler is alive: its last tick is in the status",
            ),
            Self::TaskFailing => (
                Critical,
                "read the run's message and log, mend the cause, and retry it",
            ),
            Self::TaskOverrideMisfit => (
                Warning,
                "see `bellctl drift`, then update or reset the task",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ProblemKind;

    #[test]
    fn operations_tell_of_every_kind() {
        let text = include_str!("../../../docs/operations.md");
        let table = text.split_once("## What the problems mean").unwrap().1;
        let told: Vec<&str> = table.split('`').skip(1).step_by(2).collect();
        let is_told = |kind: &str| {
            told.iter().any(|told| match told.split_once('…') {
                Some((from, to)) => kind.starts_with(from) && kind.ends_with(to),
                None => *told == kind,
            })
        };
        let missing: Vec<_> = ProblemKind::ALL
            .iter()
            .map(|kind| kind.as_str())
            .filter(|kind| !is_told(kind))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
