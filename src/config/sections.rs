//! The tasks of a configuration file, section by section.
//!
//! A library reads a file as one tree, which takes some 5 KiB and 20 µs for each task: with a hundred thousand half a
//! GiB, and two seconds of a start. Tables that are nothing but `[tasks.NAME]` are cut out here, each is read by itself,
//! and those that say the same are read and kept once.

use std::collections::{BTreeMap, HashMap};

use figment::{
    providers::{Format as _, Toml},
    value::{Dict, Value},
};
use serde_json::Map;

use crate::domain::task::Fields;

/// A file whose tasks were cut out of it.
#[derive(Debug)]
pub(super) struct Cut {
    /// All else, each line at its place.
    pub(super) rest: String,
    pub(super) tasks: BTreeMap<String, Fields>,
}

/// Cuts the tasks out of a file. None where there are none, or where it is not as plain as it must be for that: then it
/// is to be read as a whole, which also says what is wrong with it.
///
/// A line that begins with `[` may stand inside a text or a list of several lines. So each piece between two cuts must be
/// whole by itself: where the first cut were wrong, the piece before it would end in the midst of a value.
pub(super) fn cut(text: &str) -> Option<Cut> {
    let mut cutter = Cutter::default();
    let (mut from, mut at) = (0, 0);
    let mut current: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            let next = task_of(line);
            if current.is_some() || next.is_some() {
                cutter.take(current, &text[from..at])?;
                from = at;
                current = next;
            }
        }
        at += line.len();
    }
    cutter.take(current, &text[from..])?;
    let Cutter { rest, tasks, .. } = cutter;
    (!tasks.is_empty()).then_some(Cut { rest, tasks })
}

#[derive(Default)]
struct Cutter<'a> {
    rest: String,
    tasks: BTreeMap<String, Fields>,
    /// What was read already, by its text.
    read: HashMap<&'a str, Fields>,
}

impl<'a> Cutter<'a> {
    /// Takes in a piece: a task's table with its header, or what lies between two of them.
    fn take(&mut self, task: Option<&str>, piece: &'a str) -> Option<()> {
        let Some(task) = task else {
            let dict = Toml::from_str::<Dict>(piece).ok()?;
            self.rest.push_str(piece);
            return (!dict.contains_key("tasks")).then_some(());
        };
        let body = piece.split_once('\n').map_or("", |(_, body)| body);
        let fields = match self.read.get(body) {
            Some(fields) => fields.clone(),
            None => {
                let dict = Toml::from_str::<Dict>(body).ok()?;
                let fields: Map<_, _> = Value::from(dict).deserialize().ok()?;
                let fields = Fields::from(fields);
                self.read.insert(body, fields.clone());
                fields
            }
        };
        let lines = piece.bytes().filter(|byte| *byte == b'\n');
        self.rest.extend(lines.map(|_| '\n'));
        let before = self.tasks.insert(task.to_owned(), fields);
        before.is_none().then_some(())
    }
}

/// The task whose table a line begins, where it says just that.
fn task_of(line: &str) -> Option<&str> {
    let name = line.trim_end().strip_prefix("[tasks.")?.strip_suffix(']')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use figment::Figment;
    use proptest::prelude::*;

    use super::*;

    /// As the library reads the whole of it.
    fn whole(text: &str) -> Option<BTreeMap<String, Fields>> {
        let figment = Figment::from(Toml::string(text));
        figment.extract_inner("tasks").ok()
    }

    #[test]
    fn tasks_are_what_they_are_in_the_whole_file() {
        let text = "listen = \"x\" # [tasks.no]\n\n[tasks.a]\nkind = \"k\"\nschedule = { cron = \"0 4 * * *\" }\n\
                    parameters.list = [1, 2.5, true]\nstarted = 2026-01-01T00:00:00Z\n[commands.c]\nargv = [\"/x\"]\n\
                    stdin = '''\n [ not a table\n'''\n[tasks.b-1_C]\r\nkind = \"k\"\ndescription = '''\nof two\nlines'''\n[tasks.empty]\n[log]\nfilter = \"warn\"";
        let cut = cut(text).unwrap();
        assert_eq!(cut.tasks, whole(text).unwrap());
        assert_eq!(cut.tasks.len(), 3);
        assert_eq!(cut.rest.lines().count(), text.lines().count());
        let rest = Figment::from(Toml::string(&cut.rest));
        let all = Figment::from(Toml::string(text));
        for key in ["listen", "commands", "log"] {
            let of = |figment: &Figment| figment.extract_inner::<serde_json::Value>(key).unwrap();
            assert_eq!(of(&rest), of(&all), "{key}");
        }
    }

    #[test]
    fn equal_tasks_are_kept_once() {
        let cut = cut("[tasks.a]\nkind = \"k\"\n[tasks.b]\nkind = \"k\"\n").unwrap();
        assert!(std::ptr::eq(&*cut.tasks["a"], &*cut.tasks["b"]));
    }

    #[test]
    fn what_is_not_plain_is_read_as_a_whole() {
        for text in [
            "",
            "listen = \"x\"\n",
            // Inside a text, and inside a list: no tables.
            "s = \"\"\"\n[tasks.x]\nkind = \"y\"\n[other]\n\"\"\"\n",
            "s = '''\n[tasks.x]\n'''\n[tasks.y]\nkind = \"k\"\n",
            "a = [\n[tasks.x]\nkind = \"x\"\n[1]\n]\n",
            "[tasks.x]\nd = \"\"\"\n[tasks.y]\n\"\"\"\n",
            "[tasks.x]\nlist = [\n[1],\n]\n",
            "[tasks.x]\nd = '''\n [ not a table\n'''\n",
            // Twice, or in parts.
            "[tasks.x]\n[tasks.x]\n",
            "[tasks.x]\nkind = \"k\"\n[tasks.x.schedule]\ncron = \"* * * * *\"\n",
            "[tasks]\nx = {}\n[tasks.y]\nkind = \"k\"\n",
            "tasks.x.kind = \"k\"\n[tasks.y]\nkind = \"k\"\n",
            // Wrong.
            "[tasks.x]\nkind = \n",
            "[tasks.x]\nkind = \"a\"\nkind = \"b\"\n",
            "[tasks.x]\n[[tasks.y]]\n",
        ] {
            assert!(cut(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_cut_is_what_the_library_reads(lines in prop::collection::vec(prop::sample::select(vec![
            "[tasks.a]", "[tasks.b]", "[tasks.a.schedule]", "[tasks]", "[log]", "[[list]]", "kind = \"k\"", "kind = 1",
            "x = '''", "'''", "y = \"\"\"", "\"\"\"", "z = [", "]", "[1]", "[1],", "tasks.c.kind = \"k\"", "# [tasks.d]", "",
        ]), 0..12)) {
            let text = lines.join("\n");
            if let Some(cut) = cut(&text) {
                match Toml::from_str::<Dict>(&cut.rest) {
                    Ok(_) => prop_assert_eq!(Some(cut.tasks), whole(&text)),
                    Err(_) => prop_assert_eq!(None, whole(&text)),
                }
            }
        }
    }
}
