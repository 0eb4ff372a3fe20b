//! The figures of all stories so far, for people and to quote from.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    figures::{Figures, Mark, most},
    form::Form,
};

/// What the stories of this process measured.
static STORIES: Mutex<Vec<Figures>> = Mutex::new(Vec::new());

/// Shows them; in the long form, also keeps them beside what Cargo builds, with those of the stories
/// before.
pub(super) fn keep(figures: Figures, form: Form) {
    if form == Form::Short {
        show(&table(&[figures], form));
        return;
    }
    let mut stories = STORIES.lock().unwrap_or_else(PoisonError::into_inner);
    show(&table(std::slice::from_ref(&figures), form));
    stories.push(figures);
    let marks = stories.iter().flat_map(|story| story.marks(form));
    let marks: Vec<Mark> = marks.collect();
    fs::write(
        target("chaos.json"),
        serde_json::to_string_pretty(&marks).unwrap() + "\n",
    )
    .unwrap();
    fs::write(target("chaos.txt"), table(&stories, form)).unwrap();
}

/// A line for each story, and one for each target that was missed.
fn table(stories: &[Figures], form: Form) -> String {
    let mut text = format!(
        "{:<22} {:<10} {:>4} {:>5} {:>4} {:>6} {:>4} {:>5} {:>6} {:>6} {:>7} {:>6} {:>5} {:>7} {:>5} {:>5} \
         {:>4}\n",
        "scenario",
        "database",
        "repl",
        "blows",
        "s",
        "slots",
        "lost",
        "twice",
        "runs",
        "leases",
        "overlap",
        "events",
        "wrong",
        "taken s",
        "dec s",
        "ans s",
        "load",
    );
    for story in stories {
        text.push_str(&line(story));
    }
    let marks = stories.iter().flat_map(|story| story.marks(form));
    for mark in marks.filter(|mark| mark.met == Some(false)) {
        let _ = writeln!(
            text,
            "MISSED, {}: {} {}, to be {}",
            mark.scenario,
            mark.metric,
            mark.value,
            mark.target.as_deref().unwrap_or_default()
        );
    }
    text
}

fn line(story: &Figures) -> String {
    let longest = |seconds: &[f64]| match most(seconds) {
        Some(most) => format!("{most:.2}"),
        None => "-".to_owned(),
    };
    let watched = story.watchers.iter();
    let wrong = watched.map(|it| it.missed + it.repeated + it.out_of_order);
    format!(
        "{:<22} {:<10} {:>4} {:>5} {:>4.0} {:>6} {:>4} {:>5} {:>6} {:>6} {:>7} {:>6} {:>5} {:>7} {:>5} {:>5} \
         {:>4.1}\n",
        story.story,
        story.database,
        story.replicas,
        story.blows,
        story.seconds,
        story.slots.expected,
        story.slots.lost,
        story.slots.double_decided,
        story.runs.values().sum::<usize>(),
        story.leases_lost,
        story.tokens.overlapping + story.tokens.doubled,
        story.watchers.iter().map(|it| it.told).sum::<usize>(),
        wrong.sum::<usize>(),
        longest(&story.taken_over_s),
        longest(&story.decided_again_s),
        longest(&story.answered_again_s),
        story.load_average,
    )
}

fn show(text: &str) {
    eprintln!("{text}");
}

fn target(name: &str) -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).join(name)
}
