//! Paths inside a job's folder: relative, one spelling, never out of it.

use super::{ManifestError, PATH_BYTES_MAX};
use std::collections::BTreeSet;

/// The most bytes of one name of a path: what every file system in use takes.
const NAME_BYTES_MAX: usize = 255;

/// Refuses a path that is not relative, that has `.`, `..` or empty names, or that is too long.
///
/// # Errors
/// [`ManifestError::Path`], which says why.
pub fn check_path(path: &str) -> Result<(), ManifestError> {
    let refuse = |reason| Err(ManifestError::Path { path: path.to_owned(), reason });
    if path.is_empty() {
        return refuse("it is empty");
    }
    if path.len() > PATH_BYTES_MAX {
        return refuse("it is too long");
    }
    if path.starts_with('/') {
        return refuse("it is absolute");
    }
    if path.chars().any(|letter| letter.is_control() || letter == '\\') {
        return refuse("it holds a backslash or a control character");
    }
    for name in path.split('/') {
        match name {
            "" => return refuse("it has an empty name"),
            "." | ".." => return refuse("it has `.` or `..` in it"),
            _ if name.len() > NAME_BYTES_MAX => return refuse("one of its names is too long"),
            _ => {}
        }
    }
    Ok(())
}

/// Checks each path of a list, and that they rise.
pub(super) fn check_list<'a>(
    what: &'static str,
    paths: impl Iterator<Item = &'a str>,
) -> Result<(), ManifestError> {
    let mut before: Option<&str> = None;
    for path in paths {
        check_path(path)?;
        if before.is_some_and(|before| before >= path) {
            return Err(ManifestError::Order { what, path: path.to_owned() });
        }
        before = Some(path);
    }
    Ok(())
}

/// Refuses a path that lies below another one, which would have to be a folder.
pub(super) fn check_folders<'a>(paths: impl Iterator<Item = &'a str>) -> Result<(), ManifestError> {
    let files: BTreeSet<&str> = paths.collect();
    for path in &files {
        let parents = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if let Some(parent) = parents.into_iter().find(|parent| files.contains(parent)) {
            return Err(ManifestError::FileAndFolder { path: parent.to_owned() });
        }
    }
    Ok(())
}
