//! What the processes hold that do the heavy work on a server's repositories, `watchbell helper repository`: the most that
//! each held before it ended.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::anyhow;

use crate::machine;

/// Between two looks. The kernel keeps the most itself: only what is added in the last moments is missed.
const EVERY: Duration = Duration::from_millis(5);
/// Looks at a process before it is taken for another: it has its command line once it has been started.
const LOOKS: u32 = 100;
/// A launcher stands between.
const GENERATIONS: usize = 3;

/// Watches the helpers of a server. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Helpers {
    over: Arc<AtomicBool>,
    watching: Option<JoinHandle<Vec<f64>>>,
}

impl Helpers {
    pub(crate) fn of(server: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let watching = std::thread::spawn(move || watch(server, &told));
        Self {
            over,
            watching: Some(watching),
        }
    }

    /// MiB of each that there was, the greatest first.
    pub(crate) fn peaks(mut self) -> anyhow::Result<Vec<f64>> {
        self.over.store(true, Ordering::Relaxed);
        let watching = self.watching.take().map(JoinHandle::join);
        let peaks = watching.and_then(Result::ok);
        let mut peaks = peaks.ok_or_else(|| anyhow!("nobody watches the helpers"))?;
        peaks.sort_by(|one, other| other.total_cmp(one));
        Ok(peaks)
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn watch(server: u32, over: &AtomicBool) -> Vec<f64> {
    let mut others: HashMap<u32, u32> = HashMap::new();
    let mut peaks: HashMap<u32, f64> = HashMap::new();
    while !over.load(Ordering::Relaxed) {
        for process in processes() {
            if let Some(peak) = peaks.get_mut(&process) {
                // It may have ended.
                *peak = machine::peak_mib(process).map_or(*peak, |now| now.max(*peak));
                continue;
            }
            let looks = others.entry(process).or_default();
            if LOOKS <= *looks {
                continue;
            }
            *looks += 1;
            // One that ends at this moment has been seen, and not what it held.
            if is_helper(process)
                && descends(process, server)
                && let Ok(peak) = machine::peak_mib(process)
            {
                peaks.insert(process, peak);
            }
        }
        std::thread::sleep(EVERY);
    }
    peaks.into_values().collect()
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn is_helper(process: u32) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(1);
    words.next() == Some(b"helper") && words.next() == Some(b"repository")
}

fn descends(process: u32, server: u32) -> bool {
    let mut at = process;
    for _ in 0..GENERATIONS {
        match parent(at) {
            Some(parent) if parent == server => return true,
            Some(parent) => at = parent,
            None => return false,
        }
    }
    false
}

fn parent(process: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold blanks.
    let after = text.rsplit_once(") ")?.1;
    after.split(' ').nth(1)?.parse().ok()
}
