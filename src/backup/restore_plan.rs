//! Planning a restore: what would come back, whether there is room, what stands against it. The token is good for one
//! restore within 15 minutes.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Backups,
    full::signed,
    manifests::manifest_of,
    occupied::is_occupied,
    places::{Place, free_at},
    read_back::hash_of,
    restore_outcome::Placed,
    restore_put::Identity,
    scratch_names,
    work::{asked, blocking},
};
use crate::{
    config::is_database_name,
    domain::{
        Caller,
        backup::{
            figures::DrillSpeed,
            manifest::{SnapshotPath, Totals},
            point::RestorePoint,
        },
    },
    error::{Error, Reason, Result, all},
};

const GOOD_FOR: SignedDuration = SignedDuration::from_mins(15);
const PATHS_MAX: usize = 100;
const TOKEN_BYTES: usize = 24;

/// What is to be restored.
#[derive(Clone, Debug, Default)]
pub struct RestoreWish {
    /// An absolute path below a restore root, or a name below the first.
    pub directory: String,
    /// Beginnings of paths; none for everything.
    pub paths: Vec<String>,
    /// Name of a database to be made; empty for none.
    pub new_database: String,
}

/// A plan as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RestorePlan {
    pub point: Uuid,
    pub directory: PathBuf,
    pub paths: Vec<SnapshotPath>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub new_database: String,
    pub principal: String,
    /// What an attempt has restored in full, and has begun to put in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placing: Option<Placed>,
    /// Directories that attempts have made it in under its other name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_in: Vec<Identity>,
}

/// A plan as it is told.
#[derive(Clone, Debug)]
pub struct Planned {
    /// None where something stands against it.
    pub token: Option<String>,
    pub expires_at: Timestamp,
    pub point: RestorePoint,
    pub directory: String,
    pub files: i64,
    pub bytes: i64,
    pub free_bytes: i64,
    pub estimate: Option<Duration>,
    pub conflicts: Vec<String>,
    pub warnings: Vec<String>,
}

impl Backups {
    /// Plans a restore, and keeps the plan. Nothing else is changed.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field; [`Error::Conflict`] for a point that nothing can be restored from.
    pub async fn plan_restore(
        &self,
        who: &Caller,
        point: RestorePoint,
        wish: RestoreWish,
    ) -> Result<Planned> {
        point.expect_there()?;
        let (directory, paths, ()) = self.read_wish(&wish)?;
        let there = self.look_at(&directory).await?;
        let chosen = self.count_chosen(&point, &paths).await?;
        let (files, bytes) = (signed(chosen.files), signed(chosen.bytes));
        let free = there.free;
        let mut conflicts = Vec::new();
        if there.is_occupied {
            conflicts.push(format!(
                "{} is there and not empty: a restore never writes over anything; name another",
                directory.display()
            ));
        }
        if free < bytes {
            conflicts.push(format!(
                "{bytes} bytes are to be restored, and {} has {free} free",
                directory.display()
            ));
        }
        if files == 0 {
            conflicts.push("no file of the restore point begins with any of the paths".to_owned());
        }
        if !wish.new_database.is_empty() {
            let there = super::scratch::database_exists(self, &wish.new_database).await?;
            if there {
                conflicts.push(format!(
                    "a database {:?} is there already: name another",
                    wish.new_database
                ));
            }
        }
        let speed: Option<DrillSpeed> = self.store().value(super::SPEED_KEY).await?;
        let now = self.clock().now();
        let mut planned = Planned {
            token: None,
            expires_at: now + GOOD_FOR,
            directory: directory.display().to_string(),
            files,
            bytes,
            free_bytes: free,
            estimate: speed.and_then(|speed| speed.time_for(bytes)),
            conflicts,
            warnings: warnings(&point),
            point,
        };
        if planned.conflicts.is_empty() {
            let token = new_token()?;
            let plan = RestorePlan {
                point: planned.point.id,
                directory,
                paths,
                new_database: wish.new_database,
                principal: who.principal.clone(),
                placing: None,
                held_in: Vec::new(),
            };
            let mut tx = self.store().begin().await?;
            tx.restore_plan_keep(&hash_of(token.as_bytes()), planned.expires_at, &plan)
                .await?;
            tx.commit().await?;
            planned.token = Some(token);
        }
        Ok(planned)
    }

    /// Checks what of a wish needs no look at anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Several`], naming the fields.
    pub fn check_wish(&self, wish: &RestoreWish) -> Result<()> {
        self.read_wish(wish).map(drop)
    }

    fn read_wish(&self, wish: &RestoreWish) -> Result<(PathBuf, Vec<SnapshotPath>, ())> {
        all((
            self.confined(&wish.directory),
            read_paths(&wish.paths),
            check_database(&wish.new_database, self.store().kind()),
        ))
    }

    /// What the task of restores is told: the plan by the hash of its token, so that the token stands in no row.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the token is of no plan, or that has ended.
    pub async fn restore_order(&self, token: &str) -> Result<Map<String, Value>> {
        let hash = hash_of(token.as_bytes());
        let plan: Option<RestorePlan> =
            self.store().restore_plan(&hash, self.clock().now()).await?;
        if plan.is_none() {
            let what = "it is of no plan, or was used, or its 15 minutes are over: plan again";
            return Err(Error::invalid("token", what));
        }
        Ok(Map::from_iter([("plan".to_owned(), json!(hash))]))
    }

    /// Counts what of a point would come back: files, and their bytes.
    async fn count_chosen(&self, point: &RestorePoint, paths: &[SnapshotPath]) -> Result<Totals> {
        let Some(place) = Place::of(point.kind) else {
            let name = point.resource_name();
            let message = format!(
                "{name} is an export: unpack {} by tar and zstd, as its RESTORE.md says",
                point.file
            );
            return Err(Error::conflict(Reason::IsExport, name, message));
        };
        let cancel = tokio_util::sync::CancellationToken::new();
        let away =
            |error: anyhow::Error| Error::unavailable("the repository", format!("{error:#}"));
        let repository = self.repository(place, &cancel).await.map_err(away)?;
        let turn = self.inner.turns.plans.enter().await?;
        let (wanted, paths, beside) = (point.clone(), paths.to_vec(), self.beside());
        let counted = blocking("manifest", move || {
            // Until it has been read, whether anybody still waits for it or not.
            let _turn = turn;
            manifest_of(&*repository, &wanted, &beside)?.count(&paths)
        });
        counted.await.and_then(|counted| counted).map_err(away)
    }

    /// Looks at the directory that a restore is to make.
    async fn look_at(&self, directory: &Path) -> Result<There> {
        let roots = self.settings().config.restore_roots.clone();
        let looked = asked(directory, "looking at", move |directory| {
            // A link on the way would lead out of the root.
            let below = directory
                .ancestors()
                .take_while(|part| !roots.iter().any(|root| part == root));
            let mut links = below.filter(|part| part.is_symlink());
            There {
                link: links.next().map(Path::to_owned),
                is_occupied: is_occupied(directory),
                free: free_at(directory).map_or(0, |free| i64::try_from(free).unwrap_or(i64::MAX)),
            }
        });
        let there = looked
            .await
            .map_err(|why| Error::unavailable("restore directory", why))?;
        match &there.link {
            None => Ok(there),
            Some(link) => {
                let what = format!("{} is a link: a restore follows none", link.display());
                Err(Error::invalid("directory", what))
            }
        }
    }

    /// A new directory below one of the configured roots.
    fn confined(&self, given: &str) -> Result<PathBuf> {
        let roots = &self.settings().config.restore_roots;
        let wrong = |what: String| Error::invalid("directory", what);
        if given.is_empty() || given.contains('\0') {
            return Err(wrong(
                "expected a new directory: a name, or a path below a restore root".to_owned(),
            ));
        }
        let path = Path::new(given);
        let path = match (path.is_absolute(), roots.first()) {
            (true, _) => path.to_owned(),
            (false, Some(root)) => root.join(path),
            (false, None) => return Err(wrong("the configuration has no restore root".to_owned())),
        };
        if path
            .components()
            .any(|part| matches!(part, Component::ParentDir | Component::CurDir))
        {
            return Err(wrong(format!(
                "{given:?} holds .. or .; expected a plain path"
            )));
        }
        let inside = |root: &PathBuf| path.starts_with(root) && path != *root;
        if !roots.iter().any(inside) {
            let roots: Vec<String> = roots
                .iter()
                .map(|root| root.display().to_string())
                .collect();
            return Err(wrong(format!(
                "{given:?} lies below none of the restore roots of the configuration: {}",
                roots.join(", ")
            )));
        }
        Ok(path)
    }
}

/// What is where a restore is to be.
struct There {
    /// A link on the way.
    link: Option<PathBuf>,
    is_occupied: bool,
    /// Bytes.
    free: i64,
}

fn read_paths(given: &[String]) -> Result<Vec<SnapshotPath>> {
    if PATHS_MAX < given.len() {
        let what = format!("{} given; expected at most {PATHS_MAX}", given.len());
        return Err(Error::invalid("paths", what));
    }
    let read = |path: &String| {
        SnapshotPath::from_absolute(path)
            .ok_or_else(|| {
                let what = format!("{path:?} given; expected the beginning of a path in the restore point, such as /content/");
                Error::invalid("paths", what)
            })
    };
    given.iter().map(read).collect()
}

fn check_database(name: &str, storage: &str) -> Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    if storage != "postgresql" {
        let what = "this server's database is a SQLite file, which is restored into the directory; expected none";
        return Err(Error::invalid("new_database", what));
    }
    match (is_database_name(name), scratch_names::is_reserved(name)) {
        (true, false) => Ok(()),
        (true, true) => Err(Error::invalid(
            "new_database",
            format!("{name:?} given; databases that are called so are for drills, and go"),
        )),
        (false, _) => Err(Error::invalid(
            "new_database",
            format!("{name:?} given; expected 1 to 63 of a-z, 0-9 and _, a letter first"),
        )),
    }
}

fn warnings(point: &RestorePoint) -> Vec<String> {
    let mut warnings = Vec::new();
    if 0 < point.missing_count {
        warnings.push(format!(
            "{} files are missing in it: see the restore point",
            point.missing_count
        ));
    }
    if let Some(damage) = &point.damage {
        warnings.push(format!(
            "it was found damaged at {}: {}; what is whole of it comes back",
            damage.at, damage.what
        ));
    } else if point.verified_at.is_none() {
        warnings.push("it was not read back yet".to_owned());
    }
    if point.drilled_at.is_none() {
        warnings.push("no drill has restored it yet".to_owned());
    }
    warnings
}

fn new_token() -> Result<String> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(|error| Error::internal(error.to_string()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
