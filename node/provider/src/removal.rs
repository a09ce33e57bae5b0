//! Remove what a job left, whatever it made of it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Names a folder may already have before one is given up on.
const NAMES_MAX: u64 = 1 << 32;

/// Removes a folder with all that is in it, if it is there. Folders that may not be read or written are opened first, and
/// folders within folders are moved up before they are emptied, so that neither the length of a path nor the number of open
/// files bounds how deep they may lie. Links are removed, never followed. Nobody else may be at work in the folder.
///
/// # Errors
/// What the file system says of the first thing that cannot be removed.
pub(crate) fn remove_tree(root: &Path) -> io::Result<()> {
    match fs::symlink_metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_dir() => return fs::remove_file(root),
        Ok(_) => {}
    }
    let mut number = 0;
    let mut folders = empty(root, |_| Ok(None))?;
    while let Some(folder) = folders.pop() {
        let inner = empty(&folder, |path| move_up(path, root, &mut number).map(Some))?;
        folders.extend(inner);
        fs::remove_dir(&folder)?;
    }
    fs::remove_dir(root)
}

/// Removes the files of a folder and gives back where its folders are: where they were, or where `moved` put them.
fn empty(
    folder: &Path,
    mut moved: impl FnMut(&Path) -> io::Result<Option<PathBuf>>,
) -> io::Result<Vec<PathBuf>> {
    open(folder)?;
    let mut folders = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            folders.push(moved(&path)?.unwrap_or(path));
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(folders)
}

/// Gives a folder to a name in `root` that nothing has.
fn move_up(folder: &Path, root: &Path, number: &mut u64) -> io::Result<PathBuf> {
    // A folder that may not be written cannot be moved: its entry `..` changes.
    open(folder)?;
    while *number < NAMES_MAX {
        *number += 1;
        let place = root.join(format!("removed-{number}"));
        if fs::symlink_metadata(&place).is_err() {
            fs::rename(folder, &place)?;
            return Ok(place);
        }
    }
    Err(io::Error::other("a folder has too many names"))
}

/// Lets its owner read, change and enter a folder. Where this is not needed it is not an error that it cannot be done.
fn open(folder: &Path) -> io::Result<()> {
    const ALL: u32 = 0o700;
    let mode = fs::symlink_metadata(folder)?.permissions().mode();
    if mode & ALL == ALL {
        return Ok(());
    }
    match fs::set_permissions(folder, Permissions::from_mode(ALL)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        changed => changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Each makes something that is hard to remove in the folder `left`.
    const LEFT: [(&str, fn(&Path) -> io::Result<()>); 6] = [
        ("nothing", |left| fs::remove_dir(left)),
        ("files", |left| {
            fs::write(left.join("a"), "1").and_then(|()| fs::create_dir(left.join("removed-1")))
        }),
        ("shut", |left| {
            for (name, mode) in [("none", 0), ("listed", 0o400), ("entered", 0o300), ("kept", 0o500)] {
                fs::create_dir_all(left.join(name).join("in"))?;
                fs::write(left.join(name).join("in/file"), "1")?;
                fs::set_permissions(left.join(name).join("in"), Permissions::from_mode(mode))?;
                fs::set_permissions(left.join(name), Permissions::from_mode(mode))?;
            }
            fs::set_permissions(left, Permissions::from_mode(0o000))
        }),
        ("links", |left| {
            symlink("../outside", left.join("folder"))?;
            fs::create_dir(left.join("in"))?;
            symlink("../../outside/file", left.join("in/file"))
        }),
        ("names taken", |left| {
            for number in 1..4 {
                fs::create_dir_all(left.join(format!("removed-{number}/removed-{}/in", number + 1)))?;
            }
            fs::write(left.join("removed-4"), "a file")
        }),
        ("deep", |left| {
            // From the inside out: no path is ever longer than a few names.
            let (inner, outer) = (left.join("inner"), left.join("outer"));
            fs::create_dir(&inner)?;
            for _ in 0..5_000 {
                fs::create_dir(&outer)?;
                fs::write(outer.join("file"), "1")?;
                fs::rename(&inner, outer.join("in"))?;
                fs::rename(&outer, &inner)?;
            }
            Ok(())
        }),
    ];

    #[test]
    fn whatever_a_job_left_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let outside = base.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "kept").unwrap();
        for (name, make) in LEFT {
            let left = base.path().join("left");
            fs::create_dir(&left).unwrap();
            make(&left).unwrap();
            remove_tree(&left).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(fs::symlink_metadata(&left).is_err(), "{name}");
            assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept", "{name}");
        }
        symlink("outside", base.path().join("link")).unwrap();
        remove_tree(&base.path().join("link")).unwrap();
        assert!(outside.join("file").exists() && !base.path().join("link").exists());
    }
}
