//! The user's keys: one file each, mode 0600, in a folder of mode 0700 below the user's home of hansa; and beside them the read
//! passes that were made with them.

use crate::error::{Failure, Outcome};
use crate::keyfile::{KeyFile, KeyFileError, Passphrase, Protection};
use hansa_ledger::id::ChainId;
use hansa_ledger::name::Name;
use hansa_ledger_signature::{PublicKey, SecretKey};
use hansa_node_api::ReadPass;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The most bytes a key file or a passphrase file may have.
const FILE_BYTES_MAX: u64 = 64 * 1_024;

/// The end of a key file's name.
const ENDING: &str = ".key";

/// The end of the name of a read pass's file.
const PASS_ENDING: &str = ".pass";

/// The folder of the user's keys.
#[derive(Clone, Debug)]
pub struct Keystore {
    folder: PathBuf,
}

/// A key of the store, as far as it can be told without its passphrase.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// What the user calls it.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What the file holds.
    pub file: KeyFile,
}

impl Keystore {
    /// The store below the user's home of hansa.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self { folder: home.join("keys") }
    }

    /// Writes a new key. A key that is there is never written over.
    ///
    /// # Errors
    /// When the name is taken or the file cannot be written; then nothing is left behind.
    pub fn add(&self, name: &Name, key: &SecretKey, passphrase: Option<&Passphrase>) -> Outcome<StoredKey> {
        self.make_folder()?;
        let path = self.path(name.as_str());
        if path.symlink_metadata().is_ok() {
            return Err(taken(name, &path));
        }
        let file = KeyFile::seal(key, passphrase).map_err(|error| key_failure(&path, &error))?;
        let draft = self.folder.join(format!(".{name}.{}.new", std::process::id()));
        let written = write_new(&draft, file.to_text().as_bytes())
            // A link, unlike a rename, fails when the name is taken meanwhile.
            .and_then(|()| std::fs::hard_link(&draft, &path))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        let _ = std::fs::remove_file(&draft);
        match written {
            Ok(()) => Ok(StoredKey { name: name.to_string(), path, file }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken(name, &path)),
            Err(error) => Err(Failure::failed(format!("cannot write `{}`: {error}", path.display()))
                .hint("check the permissions of the folder and the space on its disk")),
        }
    }

    /// Every key of the store, by name.
    ///
    /// # Errors
    /// When the folder or a file is open to others or cannot be read.
    pub fn list(&self) -> Outcome<Vec<StoredKey>> {
        let mut names = Vec::new();
        match std::fs::read_dir(&self.folder) {
            Ok(entries) => {
                for entry in entries.flatten() {
                    let file = entry.file_name().to_string_lossy().into_owned();
                    names.extend(
                        file.strip_suffix(ENDING).filter(|name| !name.starts_with('.')).map(str::to_owned),
                    );
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&self.folder, &error)),
        }
        names.sort();
        names.iter().map(|name| self.find(name)).collect()
    }

    /// A key by its name, or by the path of its file (which has a `/` in it).
    ///
    /// # Errors
    /// When there is none, or it is open to others or cannot be read.
    pub fn find(&self, name: &str) -> Outcome<StoredKey> {
        let path = if name.contains('/') { PathBuf::from(name) } else { self.path(name) };
        if !name.contains('/') && self.folder.exists() {
            refuse_loose(&self.folder, "700")?;
        }
        let text = read_private(&path).map_err(|failure| match path.exists() {
            true => failure,
            false => Failure::refused(format!("there is no key `{name}`"))
                .hint("list the keys with `hansa key list`, or make one with `hansa key new NAME`"),
        })?;
        let file = KeyFile::from_text(&text).map_err(|error| key_failure(&path, &error))?;
        Ok(StoredKey { name: name.to_owned(), path, file })
    }

    /// The pass that is kept for a key in a federation; none if there is none that can be read and is closed to others.
    #[must_use]
    pub fn pass(&self, key: &PublicKey, chain: &ChainId) -> Option<ReadPass> {
        let text = read_private(&self.pass_path(key, chain)).ok()?;
        let pass = ReadPass::from_bearer(text.trim()).ok()?;
        (pass.key == *key && pass.chain == *chain).then_some(pass)
    }

    /// Keeps a pass beside the keys, in the place of the one before. Its file is the user's alone: whoever has it reads as the key.
    ///
    /// # Errors
    /// When it cannot be written; then the one before stands.
    pub fn keep_pass(&self, pass: &ReadPass) -> Outcome {
        self.make_folder()?;
        let path = self.pass_path(&pass.key, &pass.chain);
        let draft = self.folder.join(format!(".{}.{}.new", pass.key, std::process::id()));
        // One that a run left behind which was killed in between.
        let _ = std::fs::remove_file(&draft);
        let written =
            write_new(&draft, pass.to_bearer().as_bytes()).and_then(|()| std::fs::rename(&draft, &path));
        written.map_err(|error| {
            let _ = std::fs::remove_file(&draft);
            Failure::failed(format!("cannot keep the read pass in `{}`: {error}", path.display()))
                .hint("check the permissions of the folder and the space on its disk")
        })
    }

    /// Deletes every pass of a key, and gives how many there were.
    ///
    /// # Errors
    /// When one cannot be deleted.
    pub fn forget_passes(&self, key: &PublicKey) -> Outcome<usize> {
        let paths = self.pass_paths(key);
        for path in &paths {
            std::fs::remove_file(path).map_err(|error| {
                Failure::failed(format!("cannot delete `{}`: {error}", path.display()))
                    .hint("delete it by hand: whoever has it reads as you until it expires")
            })?;
        }
        Ok(paths.len())
    }

    fn pass_paths(&self, key: &PublicKey) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let beginning = format!("{key}-");
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| name.starts_with(&beginning) && name.ends_with(PASS_ENDING))
            .map(|name| self.folder.join(name))
            .collect()
    }

    fn pass_path(&self, key: &PublicKey, chain: &ChainId) -> PathBuf {
        self.folder.join(format!("{key}-{chain}{PASS_ENDING}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{ENDING}"))
    }

    fn make_folder(&self) -> Outcome {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| {
            Failure::failed(format!("cannot make the folder `{}`: {error}", self.folder.display()))
                .hint("choose another place with `--home DIR`")
        })?;
        refuse_loose(&self.folder, "700")
    }
}

impl StoredKey {
    /// Takes the secret key out; `ask` gives the passphrase and is called only if there is need of one.
    ///
    /// # Errors
    /// When the passphrase is wrong or the file was changed.
    pub fn unlock(&self, ask: impl FnOnce() -> Outcome<Passphrase>) -> Outcome<SecretKey> {
        let passphrase = match self.file.protection {
            Protection::Passphrase => Some(ask()?),
            Protection::None => None,
        };
        self.file.open(passphrase.as_ref()).map_err(|error| key_failure(&self.path, &error))
    }
}

/// The passphrase in the first line of a file.
///
/// # Errors
/// When the file is open to others, cannot be read, or is empty.
pub fn passphrase_from(path: &Path) -> Outcome<Passphrase> {
    let text = read_private(path)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::refused(format!("the passphrase file `{}` is empty", path.display()))
            .hint("write the passphrase into its first line"));
    }
    Ok(Passphrase::from(line.to_owned()))
}

/// Whether there is a terminal to ask on.
#[must_use]
pub fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Asks for a passphrase on the terminal.
///
/// # Errors
/// When there is no terminal, or nothing is typed.
pub fn passphrase_typed(question: &str) -> Outcome<Passphrase> {
    let typed = rpassword::prompt_password(question).map_err(|_| {
        Failure::refused("the key is encrypted, and there is no terminal to ask for its passphrase on")
            .hint("give `--passphrase-file FILE`, or set HANSA_PASSPHRASE_FILE to the file's path")
    })?;
    if typed.is_empty() {
        return Err(Failure::refused("the passphrase is empty"));
    }
    Ok(Passphrase::from(typed))
}

fn read_private(path: &Path) -> Outcome<Zeroizing<String>> {
    refuse_loose(path, "600")?;
    let read = || -> std::io::Result<Zeroizing<String>> {
        let mut text = Zeroizing::new(String::new());
        File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error| unreadable(path, &error))
}

/// Refuses what others than the owner may open.
fn refuse_loose(path: &Path, mode: &str) -> Outcome {
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    let found = metadata.mode() & 0o777;
    if found & 0o077 == 0 {
        return Ok(());
    }
    Err(Failure::refused(format!("`{}` is open to other users (mode {found:o})", path.display()))
        .hint(format!("close it with `chmod {mode} {}`", quoted(path))))
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@,".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn taken(name: &Name, path: &Path) -> Failure {
    Failure::refused(format!("there is a key `{name}` already, in `{}`", path.display()))
        .hint("choose another name; a key is never written over")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("cannot read `{}`: {error}", path.display()))
        .hint("check that it exists and is yours")
}

fn key_failure(path: &Path, error: &KeyFileError) -> Failure {
    let failure = Failure::refused(format!("the key file `{}` cannot be used: {error}", path.display()));
    match error {
        KeyFileError::PassphraseWrong => failure.hint("try again, or give the right `--passphrase-file`"),
        KeyFileError::PassphraseMissing => failure.hint("give `--passphrase-file FILE`"),
        KeyFileError::Encryption(_) => failure,
        _ => failure.hint("restore it from a copy, or make a new key with `hansa key new NAME`"),
    }
}
