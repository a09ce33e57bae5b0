//! The files of this repository, as its rules see them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The top folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The text of a file, by its path below the top.
pub fn read(path: &str) -> String {
    let path: PathBuf = root().join(path);
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    String::from_utf8(bytes).unwrap_or_else(|error| panic!("{} is not text: {error}", path.display()))
}

/// Every file that is, or is about to be, committed, by its path below the top; without git, every file but built ones.
pub fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let mut files: Vec<String> = match listed {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
        }
        _ => {
            let mut files = Vec::new();
            walk(root(), &mut files);
            files
        }
    };
    files.retain(|path| root().join(path).is_file());
    files.sort();
    files.dedup();
    assert!(files.len() > 100, "the files of the repository are found");
    files
}

fn walk(folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            let built = path.file_name().is_some_and(|name| name == "target" || name == ".git");
            if !built {
                walk(&path, files);
            }
        } else {
            files.push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
}
