//! Whether a set has come back as it was: a restore that leaves something out is no quicker.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use rustix::fs::getxattr;

use super::{ATTRIBUTE, Files, Sort, count, has_attribute, origin, target};

impl Files {
    /// Fails unless as many files came back, somewhere below a folder.
    pub(in super::super) fn expect_all(&self, restored: &Path) -> anyhow::Result<()> {
        let (there, _) = count(restored)?;
        ensure!(
            there == self.count,
            "{there} of {} files came back in {}",
            self.count,
            restored.display()
        );
        Ok(())
    }

    /// Fails unless all that each file is came back, somewhere below a folder. `has_holes`: whether holes are to be holes
    /// again.
    pub(in super::super) fn compare(&self, restored: &Path, has_holes: bool) -> anyhow::Result<()> {
        self.expect_all(restored)?;
        let back = Self {
            folder: root_of(restored)?,
            count: self.count,
            size: self.size,
        };
        for number in 0..self.count {
            let path = back.path(number);
            self.compare_one(number, &back, has_holes)
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn compare_one(&self, number: usize, back: &Self, has_holes: bool) -> anyhow::Result<()> {
        let path = back.path(number);
        let sort = Sort::of(number);
        let about = path.symlink_metadata()?;
        if matches!(sort, Sort::Link | Sort::Dangling) {
            ensure!(
                fs::read_link(&path)? == target(number),
                "it leads elsewhere"
            );
            return Ok(());
        }
        if sort == Sort::Name {
            let first = back.path(number - 1).symlink_metadata()?;
            ensure!(about.ino() == first.ino(), "it is another file");
            return Ok(());
        }
        let was = self.path(number).symlink_metadata()?;
        ensure!(about.len() == was.len(), "it is of another size");
        ensure!(about.mode() == was.mode(), "its mode is {:o}", about.mode());
        ensure!(about.uid() == was.uid(), "it belongs to {}", about.uid());
        ensure!(about.gid() == was.gid(), "its group is {}", about.gid());
        ensure!(about.mtime() == was.mtime(), "it is of {}", about.mtime());
        if has_attribute(number) {
            let mut value = [0; 64];
            let length = getxattr(&path, ATTRIBUTE, &mut value[..])?;
            ensure!(
                &value[..length] == origin(number).as_bytes(),
                "its attribute"
            );
        }
        // File systems count in blocks, so that small holes are none.
        if sort == Sort::Sparse && has_holes && was.blocks() * 512 < was.len() / 4 * 3 {
            ensure!(
                about.blocks() * 512 < about.len() / 4 * 3,
                "its hole is filled"
            );
        }
        ensure!(
            fs::read(&path)? == fs::read(self.path(number))?,
            "its content is another"
        );
        Ok(())
    }
}

/// The place of a set's first folder, below another.
fn root_of(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if folder.join("000").is_dir() {
            return Ok(folder);
        }
        let read = || format!("could not read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(read)? {
            let entry = entry.with_context(read)?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bail!("nothing came back in {}", folder.display())
}

#[cfg(test)]
mod tests {
    use std::{fs::FileTimes, time::SystemTime};

    use super::*;

    fn date(path: &Path, modified: SystemTime) {
        let times = FileTimes::new().set_modified(modified);
        let file = fs::File::options().write(true).open(path);
        file.unwrap().set_times(times).unwrap();
    }

    #[test]
    fn a_set_is_compared_with_all_that_it_has() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let files = Files::make(folder.path().join("files"), 200, 4).unwrap();
        files.compare(&files.folder, true).unwrap();
        // The same by itself, but for what a copy loses.
        let copy = Files::make(folder.path().join("back/of/files"), 200, 4).unwrap();
        let back = folder.path().join("back");
        let made = |number: usize| files.path(number).metadata().unwrap().modified().unwrap();
        for number in (0..200).filter(|number| Sort::of(*number).has_content()) {
            date(&copy.path(number), made(number));
        }
        files.compare(&back, true).unwrap();
        let differs = || format!("{:#}", files.compare(&back, true).unwrap_err());
        let link = copy.path(113);
        fs::remove_file(&link).unwrap();
        fs::write(&link, files.content(112, 0)).unwrap();
        let error = differs();
        assert!(error.ends_with("it is another file"), "{error}");
        fs::remove_file(&link).unwrap();
        fs::hard_link(copy.path(112), &link).unwrap();
        date(&copy.path(31), SystemTime::now());
        let error = differs();
        assert!(error.contains("it is of "), "{error}");
        date(&copy.path(31), made(31));
        // Of the same size and time.
        fs::write(copy.path(5), files.content(5, 1)).unwrap();
        date(&copy.path(5), made(5));
        let error = differs();
        assert!(error.ends_with("its content is another"), "{error}");
        fs::remove_file(copy.path(199)).unwrap();
        let error = differs();
        assert!(error.starts_with("199 of 200 files came back"), "{error}");
    }
}
