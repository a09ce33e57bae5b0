//! Keys of a testnet, in the unencrypted form of key files: mode 0600, and a warning in the first lines.

use crate::error::{TestnetError, file_error};
use hansa_ledger_signature::SecretKey;
use hansa_node_api::keyfile::KeyFile;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// Makes a new key and writes its file, which must not be there yet.
pub(crate) fn create(path: &Path) -> Result<SecretKey, TestnetError> {
    let key = SecretKey::generate();
    let text = KeyFile::seal(&key, None).map_err(|error| refused(path, &error))?.to_text();
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(file_error("make the key file", path))?;
    out.write_all(text.as_bytes()).map_err(file_error("write", path))?;
    Ok(key)
}

/// Reads the key of a file that [`create`] wrote.
pub(crate) fn read(path: &Path) -> Result<SecretKey, TestnetError> {
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(file_error("read", path))?);
    KeyFile::from_text(&text).and_then(|file| file.open(None)).map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &hansa_node_api::keyfile::KeyFileError) -> TestnetError {
    TestnetError::Refused(format!("the key file `{}` cannot be used: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_comes_back_is_closed_to_others_and_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let key = create(&path).unwrap();
        assert_eq!(read(&path).unwrap().public_key(), key.public_key());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&path).is_err());
        let swapped = std::fs::read_to_string(&path).unwrap().replace("version = 1", "version = 2");
        std::fs::write(&path, swapped).unwrap();
        assert!(read(&path).is_err());
    }
}
