//! The session as tables for people, in Markdown.

use std::fmt::Write as _;

use super::{
    Subject,
    metrics::{self, Metric},
    sheet::{Entry, Sheet},
};
use crate::{figures, machine, report::number, workload::Workload};

impl Sheet {
    /// All tables, where a peer is better, and how it was measured.
    pub(super) fn page(&self) -> String {
        let mut text = format!(
            "# Watchbell beside its peers\n\n{}; PostgreSQL {} with fsync and synchronous_commit on, SQLite \
             with synchronous=FULL. Load average at the end {}.\n\n\
             Figures are the median of the repeats, with the least and the most of them in parentheses, and \
             as a multiple of Watchbell's on PostgreSQL. \"load\" is the load average of one minute before \
             each repeat, in which what was measured just before has its part. `bench/peers/README.md` \
             tells how each peer is set up, and what is measured.\n",
            machine::describe(),
            self.postgresql,
            machine::load()
        );
        for workload in metrics::WORKLOADS {
            let entries: Vec<&Entry> = self
                .entries
                .iter()
                .filter(|entry| entry.workload == workload)
                .collect();
            if !entries.is_empty() {
                self.section(workload, &entries, &mut text);
            }
        }
        self.better(&mut text);
        text
    }

    fn section(&self, workload: Workload, entries: &[&Entry], text: &mut String) {
        let metrics = metrics::of(workload);
        let _ = write!(text, "\n## {workload}\n\n{}\n\n|  | n |", about(workload));
        for metric in metrics {
            let _ = write!(text, " {}, {} |", metric.title, metric.unit);
        }
        text.push_str(" load |\n|---|---:|");
        text.push_str(&"---:|".repeat(metrics.len()));
        text.push_str("---|\n");
        for entry in entries {
            let _ = write!(text, "| {} | {} |", self.title(entry), entry.n());
            for metric in metrics {
                let _ = write!(text, " {} |", self.cell(entry, metric));
            }
            let loads: Vec<String> = entry
                .loads
                .iter()
                .map(|load| format!("{load:.1}"))
                .collect();
            let _ = writeln!(text, " {} |", loads.join(", "));
        }
        let notes: Vec<String> = entries.iter().filter_map(|entry| note(entry)).collect();
        if !notes.is_empty() {
            let _ = write!(text, "\n{}\n", notes.join("\n"));
        }
    }

    fn title(&self, entry: &Entry) -> String {
        let version = self.version(&entry.subject);
        match entry.subject {
            Subject::Watchbell(..) => entry.subject.to_string(),
            Subject::Peer(_) => format!("{} {version}", entry.subject),
        }
    }

    fn cell(&self, entry: &Entry, metric: &Metric) -> String {
        let values = entry.values(metric);
        if values.is_empty() {
            return "failed".to_owned();
        }
        let mut cell = format!(
            "{} ({} – {})",
            number(figures::median(&values)),
            number(figures::least(&values)),
            number(figures::most(&values))
        );
        if let Some(ratio) = self.ratio(entry, metric) {
            let _ = write!(cell, " ×{}", number(ratio));
        }
        cell
    }

    /// Each figure in which a peer has the better median.
    fn better(&self, text: &mut String) {
        text.push_str("\n## Where a peer is better than Watchbell on PostgreSQL\n\n");
        let before = text.len();
        for entry in &self.entries {
            if !matches!(entry.subject, Subject::Peer(_)) {
                continue;
            }
            for metric in metrics::of(entry.workload) {
                let Some((ours, clearly)) = self.is_ahead(entry, metric) else {
                    continue;
                };
                let theirs = entry.median(metric).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "- {}, {}: {} has {} {}, Watchbell {}{}",
                    entry.workload,
                    metric.title,
                    entry.subject,
                    number(theirs),
                    metric.unit,
                    number(ours),
                    if clearly { "" } else { "; the spreads overlap" }
                );
            }
        }
        if text.len() == before {
            text.push_str("Nowhere in this session.\n");
        }
    }
}

/// What a workload's table shows.
fn about(workload: Workload) -> &'static str {
    match workload {
        Workload::Burst => {
            "Schedules that are due at one instant: when their handlers were entered, from that instant."
        }
        Workload::Throughput => {
            "Jobs that do nothing: how many are done in a second, until the store has none that is not. \
             Watchbell's are a backfill of 100 tasks, timed from before the first call; the peers' are timed \
             from the return of the first call that enqueues. The peers whose name ends in `batched` complete \
             up to hundreds of jobs by one statement; Watchbell, which also fetches and writes many at once, \
             completes each run with its own status, times, outcome and events."
        }
        Workload::Trigger => {
            "One job after the other: from before the client's call until the handler was entered in the \
             server's or the worker's process, without warming up."
        }
        Workload::Footprint => {
            "Schedules that are not due: the proportional memory and the processor time of all its processes, \
             with Redis and without PostgreSQL, over 20 s."
        }
        _ => "",
    }
}

fn note(entry: &Entry) -> Option<String> {
    let mut notes = entry
        .failed()
        .iter()
        .fold(Vec::new(), |mut notes, failure| {
            let note = format!("FAILED: {failure}");
            if !notes.contains(&note) {
                notes.push(note);
            }
            notes
        });
    let note = entry.note();
    if !note.is_empty() {
        notes.push(note);
    }
    (!notes.is_empty()).then(|| format!("- {}: {}", entry.subject, notes.join("; ")))
}
