//! A server that is killed while it restores: the next attempt brings all of it back, and nothing decrypted is left.

use std::{fs, path::Path};

use super::harness::{Place, becomes};

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

#[test]
fn a_server_that_is_killed_while_it_restores_brings_all_of_it_back_once() {
    let place = Place::new("");
    let files = place.path("files");
    fs::create_dir(&files).unwrap();
    let many = 2000;
    for number in 0..many {
        fs::write(
            files.join(number.to_string()),
            number.to_string().repeat(1000),
        )
        .unwrap();
    }
    place.configure(&format!(
        "[backups.sources.files]\npaths = [{:?}]\n",
        files.display().to_string()
    ));
    let mut server = Some(place.serve());
    {
        let server = server.as_ref().unwrap();
        let create = [
            "backup",
            "policy",
            "create",
            "files",
            "--source",
            "files",
            "--source",
            "database",
            "--keep-last",
            "9",
        ];
        assert_eq!(server.bellctl(&create).code(), 0);
        let update = [
            "task",
            "update",
            "restore-backup",
            "--max-attempts",
            "3",
            "--initial-backoff",
            "100ms",
            "--max-backoff",
            "100ms",
        ];
        let updated = server.bellctl(&update);
        assert_eq!(updated.code(), 0, "{updated:?}");
        let run = server.bellctl(&["backup", "run", "files", "--wait"]);
        assert_eq!(run.code(), 0, "{run:?}");
    }
    let roots = place.data().join("restores");
    for moment in ["begun", "placed", "disk"] {
        let to = roots.join(moment);
        if moment == "disk" {
            fs::create_dir_all(to.join("lost+found")).unwrap();
        }
        let killed = server.take().unwrap();
        let restore = ["backup", "restore", "latest", "--to", moment, "--yes"];
        let asked = killed.bellctl(&restore);
        assert_eq!(asked.code(), 0, "{asked:?}");
        let runs = killed.json(&["run", "list", "--task", "restore-backup"]);
        let run = runs["runs"][0]["name"].as_str().unwrap().to_owned();
        let is_over = || killed.run(&run)["state"] == "RUN_STATE_SUCCEEDED";
        let reached = || match moment {
            "begun" => names(&roots).iter().any(|name| name.contains(".begun.")),
            "placed" => to.is_dir(),
            _ => to.join("sources").is_dir(),
        };
        // It is over before it is seen, perhaps: then it is killed with nothing left to do.
        becomes(moment, || reached() || is_over());
        killed.crash();
        let next = place.serve();
        let run = next.waited(&run);
        assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{moment}: {run}");
        assert_eq!(run["outcome"], "RUN_OUTCOME_WORKED", "{moment}: {run}");
        let restored = to
            .join("sources/files")
            .join(files.strip_prefix("/").unwrap());
        assert_eq!(names(&restored).len(), many, "{moment}: {run}");
        for folder in [&roots, &to] {
            let left = names(folder);
            let is_left = |name: &String| name.contains("unfinished");
            assert!(!left.iter().any(is_left), "{moment}: {left:?}");
        }
        server = Some(next);
    }
}
