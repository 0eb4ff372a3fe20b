//! All that was measured in a session, and the figures that come of it.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::{
    BASE, Subject,
    metrics::{self, Better, Figures, Metric},
};
use crate::{figures, report, workload::Workload};

/// All measurements of one subject in one workload.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) workload: Workload,
    pub(super) subject: Subject,
    asked: usize,
    /// The load average of one minute before each.
    pub(super) loads: Vec<f64>,
    measured: Vec<Result<Figures, String>>,
}

/// The session.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) postgresql: String,
    pub(super) versions: BTreeMap<String, String>,
    pub(super) entries: Vec<Entry>,
}

/// One figure: a line of `peers.json`. Where nothing could be measured, there is no metric.
#[derive(Debug, Serialize)]
struct Row<'a> {
    workload: String,
    peer: String,
    version: &'a str,
    /// Schedules or jobs.
    n: u64,
    metric: Option<&'static str>,
    unit: Option<&'static str>,
    median: Option<f64>,
    spread: Option<[f64; 2]>,
    /// Of this median to that of Watchbell on PostgreSQL.
    ratio: Option<f64>,
    repeats: usize,
    values: Vec<f64>,
    failed: Vec<&'a str>,
    load: &'a [f64],
    note: String,
}

impl Entry {
    /// What a figure came to, in each repeat that succeeded.
    pub(super) fn values(&self, metric: &Metric) -> Vec<f64> {
        let of = |figures: &Figures| figures.values.get(metric.key).copied();
        self.succeeded().filter_map(of).collect()
    }

    /// The middle one of them.
    pub(super) fn median(&self, metric: &Metric) -> Option<f64> {
        let values = self.values(metric);
        (!values.is_empty()).then(|| figures::median(&values))
    }

    pub(super) fn failed(&self) -> Vec<&str> {
        let failures = self.measured.iter().filter_map(|one| one.as_ref().err());
        failures.map(String::as_str).collect()
    }

    pub(super) fn n(&self) -> u64 {
        let measured = self.succeeded().map(|figures| figures.n).min();
        measured.unwrap_or(self.asked as u64)
    }

    /// What there is to know, each thing once.
    pub(super) fn note(&self) -> String {
        let mut notes: Vec<&str> = Vec::new();
        for figures in self.succeeded() {
            for note in figures.note.split("; ").filter(|note| !note.is_empty()) {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes.join("; ")
    }

    fn succeeded(&self) -> impl Iterator<Item = &Figures> {
        self.measured.iter().filter_map(|one| one.as_ref().ok())
    }
}

impl Sheet {
    pub(super) fn new(postgresql: String, versions: BTreeMap<String, String>) -> Self {
        Self {
            postgresql,
            versions,
            entries: Vec::new(),
        }
    }

    /// Notes one measurement.
    pub(super) fn add(
        &mut self,
        workload: Workload,
        subject: &Subject,
        asked: usize,
        load: f64,
        measured: Result<Figures, String>,
    ) {
        let known = self
            .entries
            .iter()
            .position(|entry| entry.workload == workload && entry.subject == *subject);
        let index = known.unwrap_or_else(|| {
            self.entries.push(Entry {
                workload,
                subject: subject.clone(),
                asked,
                loads: Vec::new(),
                measured: Vec::new(),
            });
            self.entries.len() - 1
        });
        self.entries[index].loads.push(load);
        self.entries[index].measured.push(measured);
    }

    pub(super) fn version(&self, subject: &Subject) -> &str {
        let Subject::Peer(peer) = subject else {
            return env!("CARGO_PKG_VERSION");
        };
        self.versions.get(peer).map_or("", String::as_str)
    }

    /// Of an entry's median to that of Watchbell on PostgreSQL, where there are both.
    pub(super) fn ratio(&self, entry: &Entry, metric: &Metric) -> Option<f64> {
        let base = self.base(entry.workload)?.median(metric)?;
        (base != 0.0).then_some(entry.median(metric)? / base)
    }

    fn base(&self, workload: Workload) -> Option<&Entry> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.workload == workload && entry.subject == BASE)
    }

    /// Whether a figure is better than that of Watchbell on PostgreSQL: by its median, and whether each
    /// of its values is better than each of Watchbell's.
    pub(super) fn is_ahead(&self, entry: &Entry, metric: &Metric) -> Option<(f64, bool)> {
        let base = self.base(entry.workload)?;
        let (theirs, ours) = (entry.median(metric)?, base.median(metric)?);
        let (values, base) = (entry.values(metric), base.values(metric));
        let (ahead, clearly) = match metric.better {
            Better::Less => (
                theirs < ours,
                figures::most(&values) < figures::least(&base),
            ),
            Better::More => (
                ours < theirs,
                figures::most(&base) < figures::least(&values),
            ),
        };
        ahead.then_some((ours, clearly))
    }

    /// Replaces the file by what is known now, and beside it the same as tables, in Markdown.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let rows: Vec<Row<'_>> = self
            .entries
            .iter()
            .flat_map(|entry| self.rows(entry))
            .collect();
        report::write_array(path, &rows)?;
        report::write_text(&path.with_extension("md"), &self.page())
    }

    fn rows<'a>(&'a self, entry: &'a Entry) -> Vec<Row<'a>> {
        let row = |metric: Option<&Metric>| {
            let values = metric.map_or_else(Vec::new, |metric| entry.values(metric));
            let spread = [figures::least(&values), figures::most(&values)];
            Row {
                workload: entry.workload.to_string(),
                peer: entry.subject.to_string(),
                version: self.version(&entry.subject),
                n: entry.n(),
                metric: metric.map(|metric| metric.title),
                unit: metric.map(|metric| metric.unit),
                median: metric
                    .and_then(|metric| entry.median(metric))
                    .map(report::rounded),
                spread: (!values.is_empty()).then(|| spread.map(report::rounded)),
                ratio: metric
                    .and_then(|metric| self.ratio(entry, metric))
                    .map(report::rounded),
                repeats: values.len(),
                values: values.into_iter().map(report::rounded).collect(),
                failed: entry.failed(),
                load: &entry.loads,
                note: entry.note(),
            }
        };
        let metrics = metrics::of(entry.workload);
        let known = metrics.iter().filter(|of| entry.median(of).is_some());
        let rows: Vec<Row<'_>> = known.map(|metric| row(Some(metric))).collect();
        if rows.is_empty() {
            return vec![row(None)];
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(per_second: f64) -> Result<Figures, String> {
        Ok(Figures {
            n: 10,
            values: BTreeMap::from([("per_second".to_owned(), per_second)]),
            note: "a; b".to_owned(),
        })
    }

    #[test]
    fn a_peer_is_compared_by_its_median_and_its_failure_is_a_line() {
        let mut sheet = Sheet::new("17".to_owned(), BTreeMap::new());
        let peer = |name: &str| Subject::Peer(name.to_owned());
        let workload = Workload::Throughput;
        for ours in [90.0, 100.0, 130.0] {
            sheet.add(workload, &BASE, 10, 0.5, measured(ours));
        }
        sheet.add(workload, &peer("quick"), 10, 0.5, measured(150.0));
        sheet.add(workload, &peer("close"), 10, 0.5, measured(120.0));
        sheet.add(workload, &peer("slow"), 10, 0.5, measured(50.0));
        sheet.add(
            workload,
            &peer("broken"),
            10,
            0.5,
            Err("it broke".to_owned()),
        );
        let metric = &metrics::of(workload)[0];
        let ahead: Vec<_> = sheet
            .entries
            .iter()
            .map(|entry| (sheet.ratio(entry, metric), sheet.is_ahead(entry, metric)))
            .collect();
        let expected = [
            (Some(1.0), None),
            (Some(1.5), Some((100.0, true))),
            (Some(1.2), Some((100.0, false))),
            (Some(0.5), None),
            (None, None),
        ];
        assert_eq!(ahead, expected);
        assert_eq!(sheet.entries[0].note(), "a; b");
        let page = sheet.page();
        assert!(page.contains("| broken  | 10 | failed | 0.5 |"), "{page}");
        assert!(page.contains("- broken: FAILED: it broke"), "{page}");
        let broken = serde_json::to_value(&sheet.rows(&sheet.entries[4])[0]).unwrap();
        assert_eq!(broken["median"], serde_json::Value::Null);
        assert_eq!(broken["failed"][0], "it broke");
    }
}
