//! Where the contents of a register lie: in its folder, or below it, and nowhere else.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use super::brief;

/// The folder of a register.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Without links, so that it can be compared.
    path: PathBuf,
}

impl Folder {
    /// The folder that holds `file`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of(file: &Path) -> io::Result<Self> {
        let folder = match file.parent() {
            Some(parent) if parent != Path::new("") => parent,
            Some(_) | None => Path::new("."),
        };
        Ok(Self {
            path: folder.canonicalize()?,
        })
    }

    /// The regular file that a `content_path` names.
    ///
    /// # Errors
    /// Where it is outside the folder, or not a file: what is wrong, for people.
    pub fn resolve(&self, content_path: &str) -> Result<PathBuf, String> {
        let shown = brief(content_path);
        for component in Path::new(content_path).components() {
            match component {
                Component::Normal(_) | Component::CurDir => {}
                Component::ParentDir => {
                    return Err(format!(
                        "`{shown}` holds `..`: contents lie in the folder of the register, or below it"
                    ));
                }
                Component::RootDir | Component::Prefix(_) => {
                    return Err(format!(
                        "`{shown}` is absolute: expected a path relative to the folder of the register"
                    ));
                }
            }
        }
        let unreadable = |error: io::Error| format!("cannot read `{shown}`: {error}");
        // This follows every link on the way, also those that lead out.
        let path = self.path.join(content_path).canonicalize();
        let path = path.map_err(unreadable)?;
        if !path.starts_with(&self.path) {
            return Err(format!(
                "`{shown}` is a link that leads out of the folder of the register"
            ));
        }
        if !path.metadata().map_err(unreadable)?.is_file() {
            return Err(format!("`{shown}` is not a file"));
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn contents_in_the_folder_and_below_it_are_found() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("register");
        fs::create_dir_all(inner.join("content")).unwrap();
        fs::write(inner.join("content/a.txt"), "a").unwrap();
        symlink("content/a.txt", inner.join("link.txt")).unwrap();
        let folder = Folder::of(&inner.join("register.csv")).unwrap();
        for text in ["content/a.txt", "./content/a.txt", "link.txt"] {
            let found = folder.resolve(text).unwrap();
            assert_eq!(fs::read_to_string(found).unwrap(), "a");
        }
    }

    #[test]
    fn nothing_outside_the_folder_is_read() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("register");
        fs::create_dir_all(inner.join("content")).unwrap();
        fs::write(outer.path().join("secret"), "s").unwrap();
        symlink("../secret", inner.join("link")).unwrap();
        symlink("..", inner.join("up")).unwrap();
        // A folder whose name only begins alike is another.
        fs::create_dir(outer.path().join("register-2")).unwrap();
        fs::write(outer.path().join("register-2/secret"), "s").unwrap();
        symlink("../register-2/secret", inner.join("beside")).unwrap();
        let folder = Folder::of(&inner.join("register.csv")).unwrap();
        for (text, told) in [
            ("../secret", "`..`"),
            ("content/../../secret", "`..`"),
            ("/etc/hostname", "absolute"),
            ("link", "leads out"),
            ("up/secret", "leads out"),
            ("beside", "leads out"),
            ("content", "is not a file"),
            ("missing.pdf", "cannot read"),
            ("nul\0", "cannot read"),
        ] {
            let refusal = folder.resolve(text).unwrap_err();
            assert!(refusal.contains(told), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_register_in_the_present_folder_has_one_too() {
        let folder = Folder::of(Path::new("register.csv")).unwrap();
        assert_eq!(folder.path, Path::new(".").canonicalize().unwrap());
    }
}
