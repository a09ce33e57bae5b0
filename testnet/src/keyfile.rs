//! Keys of a testnet, in the unencrypted form of key files: mode 0600, and a warning in the first lines.

use crate::error::{TestnetError, file_error};
use hansa_ledger_signature::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use zeroize::{Zeroize as _, Zeroizing};

const HEAD: &str = "# A key of hansa. Keep it to yourself.\n\
    # NOT ENCRYPTED: whoever reads this file owns the key. For test networks only.\n";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    public_key: PublicKey,
    protection: String,
    secret: String,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Makes a new key and writes its file, which must not be there yet.
pub(crate) fn create(path: &Path) -> Result<SecretKey, TestnetError> {
    let key = SecretKey::generate();
    let file = KeyFile {
        version: 1,
        public_key: key.public_key(),
        protection: "none".to_owned(),
        secret: hex::encode(key.to_bytes().as_slice()),
    };
    let fields = Zeroizing::new(toml::to_string(&file).expect("a flat table of text and numbers is always TOML"));
    let text = Zeroizing::new(format!("{HEAD}{}", fields.as_str()));
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
    let refuse = || TestnetError::Refused(format!("`{}` is no unencrypted key file", path.display()));
    let file: KeyFile = toml::from_str(&text).map_err(|_| refuse())?;
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(&file.secret, &mut bytes).map_err(|_| refuse())?;
    let key = SecretKey::from_bytes(bytes);
    bytes.zeroize();
    let sound = file.version == 1 && file.protection == "none" && key.public_key() == file.public_key;
    if sound { Ok(key) } else { Err(refuse()) }
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
