//! What a key file holds: a public key in the clear, and the secret key, encrypted by age with a passphrase.

use age::secrecy::SecretString;
use hansa_ledger_signature::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

/// The cost of guessing one passphrase: scrypt with N = 2^17, r = 8, p = 1 takes 128 MiB and a quarter of a second.
const WORK_LOG2: u8 = 17;

/// The most a file may ask for, so that a file made elsewhere cannot take all memory.
const WORK_LOG2_MAX: u8 = 22;

/// A passphrase. It is wiped when dropped.
pub type Passphrase = SecretString;

/// How the secret in a key file is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Encrypted by age with a passphrase.
    Passphrase,
    /// Not at all: for test networks only.
    None,
}

/// A key file (TOML).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Version of this form.
    version: u32,
    /// The key that others check signatures with.
    pub public_key: PublicKey,
    /// How the secret is kept.
    pub protection: Protection,
    /// The 32 secret bytes, or their age encryption, in hexadecimal.
    secret: String,
}

/// Why a key file cannot be made or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// The text is no key file.
    #[error("{0}")]
    Malformed(String),
    /// Made by a later version.
    #[error("it is of version {0}, and this program knows version 1")]
    Version(u32),
    /// The passphrase does not open it.
    #[error("the passphrase is wrong")]
    PassphraseWrong,
    /// It is encrypted, and no passphrase was given.
    #[error("it is encrypted, and no passphrase was given")]
    PassphraseMissing,
    /// The content does not fit together.
    #[error("its public key does not belong to its secret key")]
    Mismatch,
    /// The encryption failed.
    #[error("it cannot be encrypted: {0}")]
    Encryption(String),
}

impl KeyFile {
    /// Puts a key into a file: encrypted if there is a passphrase, in the clear if not.
    ///
    /// # Errors
    /// [`KeyFileError::Encryption`].
    pub fn seal(key: &SecretKey, passphrase: Option<&Passphrase>) -> Result<Self, KeyFileError> {
        let bytes = key.to_bytes();
        let (protection, secret) = match passphrase {
            None => (Protection::None, hex::encode(bytes.as_slice())),
            Some(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
                recipient.set_work_factor(WORK_LOG2);
                let sealed = age::encrypt(&recipient, bytes.as_slice());
                let sealed = sealed.map_err(|error| KeyFileError::Encryption(error.to_string()))?;
                (Protection::Passphrase, hex::encode(sealed))
            }
        };
        Ok(Self { version: 1, public_key: key.public_key(), protection, secret })
    }

    /// Takes the key out of the file.
    ///
    /// # Errors
    /// When the passphrase is missing or wrong, or the file was changed.
    pub fn open(&self, passphrase: Option<&Passphrase>) -> Result<SecretKey, KeyFileError> {
        let stored =
            Zeroizing::new(hex::decode(&self.secret).map_err(|error| malformed("`secret`", &error))?);
        let secret = match (self.protection, passphrase) {
            (Protection::None, _) => stored,
            (Protection::Passphrase, None) => return Err(KeyFileError::PassphraseMissing),
            (Protection::Passphrase, Some(passphrase)) => {
                let mut identity = age::scrypt::Identity::new(passphrase.clone());
                identity.set_max_work_factor(WORK_LOG2_MAX);
                Zeroizing::new(age::decrypt(&identity, &stored).map_err(|error| unlock_error(&error))?)
            }
        };
        let mut bytes: [u8; 32] =
            secret.as_slice().try_into().map_err(|_| malformed("`secret`", &"it is not 32 bytes"))?;
        let key = SecretKey::from_bytes(bytes);
        bytes.zeroize();
        if key.public_key() == self.public_key { Ok(key) } else { Err(KeyFileError::Mismatch) }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let fields = toml::to_string(self).expect("a flat table of text and numbers is always TOML");
        let warning = match self.protection {
            Protection::None => {
                "# NOT ENCRYPTED: whoever reads this file owns the key. For test networks only.\n"
            }
            Protection::Passphrase => "",
        };
        Zeroizing::new(format!("# A key of hansa. Keep it to yourself.\n{warning}{fields}"))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`KeyFileError::Malformed`] and [`KeyFileError::Version`].
    pub fn from_text(text: &str) -> Result<Self, KeyFileError> {
        // The words of the parser quote the file, and the file holds a secret: only the place is told.
        let file: Self = toml::from_str(text).map_err(|error| {
            let line =
                error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            KeyFileError::Malformed(format!("line {line} is not what stands in a key file"))
        })?;
        if file.version == 1 { Ok(file) } else { Err(KeyFileError::Version(file.version)) }
    }
}

fn malformed(field: &str, reason: &impl std::fmt::Display) -> KeyFileError {
    KeyFileError::Malformed(format!("{field} cannot be read: {reason}"))
}

fn unlock_error(error: &age::DecryptError) -> KeyFileError {
    match error {
        age::DecryptError::DecryptionFailed
        | age::DecryptError::KeyDecryptionFailed
        | age::DecryptError::NoMatchingKeys => KeyFileError::PassphraseWrong,
        other => malformed("`secret`", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Passphrase {
        Passphrase::from(text.to_owned())
    }

    #[test]
    fn a_key_comes_out_as_it_went_in_and_only_with_its_passphrase() {
        let key = SecretKey::from_bytes([5; 32]);
        let file = KeyFile::seal(&key, Some(&phrase("correct horse"))).unwrap();
        let text = file.to_text();
        assert!(!text.contains(&"05".repeat(32)), "the secret does not stand in the file");
        let file = KeyFile::from_text(&text).unwrap();
        assert_eq!(file.open(Some(&phrase("correct horse"))).unwrap().public_key(), key.public_key());
        assert_eq!(file.open(Some(&phrase("wrong"))).unwrap_err(), KeyFileError::PassphraseWrong);
        assert_eq!(file.open(None).unwrap_err(), KeyFileError::PassphraseMissing);
    }

    #[test]
    fn changed_and_foreign_files_are_refused_without_showing_the_secret() {
        let key = SecretKey::from_bytes([5; 32]);
        let other = SecretKey::from_bytes([6; 32]).public_key();
        let text = KeyFile::seal(&key, None).unwrap().to_text().to_string();
        assert!(text.contains("NOT ENCRYPTED"));
        assert_eq!(KeyFile::from_text(&text).unwrap().open(None).unwrap().public_key(), key.public_key());
        let swapped = text.replace(&key.public_key().to_string(), &other.to_string());
        assert_eq!(KeyFile::from_text(&swapped).unwrap().open(None).unwrap_err(), KeyFileError::Mismatch);
        let later = text.replace("version = 1", "version = 2");
        assert_eq!(KeyFile::from_text(&later).unwrap_err(), KeyFileError::Version(2));
        let torn = text.replace("secret = \"05", "secret = 05");
        let error = KeyFile::from_text(&torn).unwrap_err().to_string();
        assert!(error.contains("line ") && !error.contains("0505"), "{error}");
        let short = text.replace(&"05".repeat(32), "0505");
        assert!(KeyFile::from_text(&short).unwrap().open(None).is_err());
    }
}
