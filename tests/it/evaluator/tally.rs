//! What was tried, what cronsim was asked about, and what went wrong.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use super::{
    cronsim::{Answer, Cronsim},
    draw::Draw,
    field::Dialect,
    line::Line,
    scan, trial,
    window::Window,
};

const FAILURES_SHOWN: usize = 20;

/// What was done, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) windows: usize,
    pub(super) lines: usize,
    refused: usize,
    fires: usize,
    /// Lines that cronsim was asked about, and their fires.
    pub(super) judged: usize,
    judged_fires: usize,
    /// Lines that it was not asked about, by reason.
    passed_over: BTreeMap<String, usize>,
    pub(super) failures: Vec<String>,
}

impl Tally {
    pub(super) fn try_window(
        &mut self,
        window: &Window,
        lines: u64,
        seed: u64,
        cronsim: Option<&mut Cronsim>,
    ) {
        self.windows += 1;
        let name = format!("{} {}", window.zone.name, window.from);
        let mut draw = Draw::named(seed, &name);
        let mut asked = Vec::new();
        for number in 0..lines {
            let dialect = match number % 2 {
                0 => Dialect::Common,
                _ => Dialect::Own,
            };
            let line = Line::draw(&mut draw, &window.near, dialect);
            let text = line.text();
            self.lines += 1;
            let Some(schedule) = trial::schedule(&window.zone.name, &text) else {
                self.refused += 1;
                continue;
            };
            let fires = scan::fires(window, &line);
            self.fires += fires.len();
            // A stream of its own, so that the lines are the same whatever fires.
            let mut questions = Draw::named(seed, &format!("{name} {text}"));
            if let Err(what) = trial::check(window, &schedule, &fires, &mut questions) {
                self.fail(window, &text, &format!("by the scan, {what}"));
            }
            match window.beyond_cronsim(&line) {
                _ if dialect == Dialect::Own => {}
                Some(why) => *self.passed_over.entry(why.to_owned()).or_default() += 1,
                None => asked.push((text, fires)),
            }
        }
        if let Some(cronsim) = cronsim {
            self.ask_cronsim(window, asked, cronsim);
        }
    }

    /// What the scan and the evaluator agree on, cronsim has to say too.
    fn ask_cronsim(
        &mut self,
        window: &Window,
        asked: Vec<(String, Vec<i64>)>,
        cronsim: &mut Cronsim,
    ) {
        let (lines, expected): (Vec<String>, Vec<Vec<i64>>) = asked.into_iter().unzip();
        cronsim.ask(window, &lines);
        let answers = match cronsim.answer() {
            Answer::Fires(answers) => answers,
            Answer::Stranger(why) => {
                *self.passed_over.entry(why).or_default() += lines.len();
                return;
            }
        };
        for ((line, expected), fires) in lines.iter().zip(expected).zip(answers) {
            self.judged += 1;
            let Some(fires) = fires else {
                self.fail(window, line, "cronsim did not come to an end");
                continue;
            };
            self.judged_fires += fires.len();
            if fires != expected {
                let what = trial::differences(&expected, &fires);
                self.fail(window, line, &format!("by cronsim, {what}"));
            }
        }
    }

    fn fail(&mut self, window: &Window, line: &str, what: &str) {
        let (zone, from, until) = (&window.zone.name, window.from, window.until);
        self.failures
            .push(format!("{line:?} in {zone} from {from} to {until}: {what}"));
    }

    pub(super) fn add(&mut self, other: Self) {
        self.windows += other.windows;
        self.lines += other.lines;
        self.refused += other.refused;
        self.fires += other.fires;
        self.judged += other.judged;
        self.judged_fires += other.judged_fires;
        for (why, count) in other.passed_over {
            *self.passed_over.entry(why).or_default() += count;
        }
        self.failures.extend(other.failures);
    }

    /// Past the capture of the test's output: that something was skipped is to be seen.
    pub(super) fn tell(&self, zones: usize, elapsed: Duration, has_cronsim: bool) {
        let mut text = format!(
            "evaluator: {} windows of {zones} zones, {} lines ({} refused) with {} fires, {} disagreements, in {:.1} s\n",
            self.windows,
            self.lines,
            self.refused,
            self.fires,
            self.failures.len(),
            elapsed.as_secs_f64(),
        );
        match has_cronsim {
            true => {
                text += &format!(
                    "evaluator: cronsim was asked about {} of the lines, with {} fires\n",
                    self.judged, self.judged_fires
                );
                for (why, count) in &self.passed_over {
                    text += &format!("evaluator: and not about {count}: {why}\n");
                }
            }
            false => text += "evaluator: SKIPPED cronsim, which is not here; run `make test`\n",
        }
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    pub(super) fn first_failures(&self) -> String {
        let shown: Vec<&str> = self
            .failures
            .iter()
            .map(String::as_str)
            .take(FAILURES_SHOWN)
            .collect();
        format!("{} in all:\n{}", self.failures.len(), shown.join("\n"))
    }
}
