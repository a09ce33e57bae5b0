//! What the user trusts, and what was verified on the ground of it: kept in the folder `trust` of the user's settings.

use crate::args::Global;
use crate::config::{Config, read_toml};
use crate::error::{Failure, Outcome};
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::BlockId;
use hansa_ledger::time::TimeMs;
use hansa_node_api::light::{Anchor, Light, Memory, Verification};
use hansa_node_api::peer::now_ms;
use serde::Serialize;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is trusted, for one run of the program.
#[derive(Clone, Debug)]
pub struct Trust {
    light: Arc<Light>,
    shared: &'static Light,
    folder: PathBuf,
}

/// Failures are compared in tests, and so is what may be one.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.light, &other.light)
    }
}

impl Eq for Trust {}

impl Trust {
    /// What the arguments or else the settings name; none where neither does.
    ///
    /// # Errors
    /// When what is named cannot be read, or the kept memory cannot.
    pub fn chosen(global: &Global, home: &Path) -> Outcome<Option<Self>> {
        let text = match global.trust.clone() {
            Some(text) => Some(text),
            None => Config::load(&home.join("config.toml"))?.trust,
        };
        let Some(text) = text else {
            return match global.max_age {
                None => Ok(None),
                Some(_) => Err(Failure::refused(
                    "`--max-age` says how old what is verified may be, and nothing is trusted",
                )
                .hint("give `--trust GENESIS` or `--trust HEIGHT:HASH`")),
            };
        };
        let anchor = anchor(&text)?;
        let folder = home.join("trust");
        let memory = load(&folder.join(format!("{}.json", anchor.name())))?;
        let age_ms_max = global.max_age.map(|length| length.0);
        let light = Arc::new(Light::new(anchor, memory, age_ms_max, || TimeMs(now_ms())));
        // The printer is copied about, and lives as long as the program.
        let shared: &'static Light = Box::leak(Box::new(light.clone()));
        Ok(Some(Self { light, shared, folder }))
    }

    /// The light client.
    #[must_use]
    pub fn light(&self) -> Arc<Light> {
        self.light.clone()
    }

    /// The light client, for as long as the program runs.
    #[must_use]
    pub fn shared(&self) -> &'static Light {
        self.shared
    }

    /// The genesis, if that is what is trusted.
    #[must_use]
    pub fn genesis(&self) -> Option<Genesis> {
        match self.light.anchor() {
            Anchor::Genesis(genesis) => Some((**genesis).clone()),
            Anchor::Block { .. } => None,
        }
    }

    /// Keeps what was verified, and the evidence of forks.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(&self) -> Outcome {
        for fork in self.light.forks() {
            let name = format!("fork-{}-{}.json", fork.other.header.height, fork.other.id);
            save(&self.folder.join(name), &fork)?;
        }
        let Some(memory) = self.light.memory().filter(|memory| !memory.headers.is_empty()) else {
            return Ok(());
        };
        let path = self.folder.join(format!("{}.json", self.light.anchor().name()));
        // Another run may have come further meanwhile.
        let kept = load(&path).ok().flatten();
        match kept.is_some_and(|kept| kept.newest.height > memory.newest.height) {
            true => Ok(()),
            false => save(&path, &memory),
        }
    }
}

/// Reads `HEIGHT:HASH`, or the genesis file of this path.
fn anchor(text: &str) -> Outcome<Anchor> {
    let block = text.split_once(':').and_then(|(height, id)| Some((height.parse().ok()?, id)));
    match block {
        None => Ok(Anchor::Genesis(Box::new(read_toml(Path::new(text))?))),
        Some((height, id)) => {
            let id: BlockId = id.parse().map_err(|_| {
                Failure::refused(format!("`{id}` is no hash of a block"))
                    .hint("give its 64 characters, as several members tell it: `hansa chain block HEIGHT`")
            })?;
            Ok(Anchor::Block { height, id })
        }
    }
}

fn load(path: &Path) -> Outcome<Option<Memory>> {
    let refuse = |reason: &dyn std::fmt::Display| {
        Failure::refused(format!(
            "what was verified before cannot be read from `{}`: {reason}",
            path.display()
        ))
        .hint("restore the file; without it, trust begins anew at what `--trust` names once it is deleted")
    };
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| refuse(&error))?,
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| refuse(&error))
}

/// Writes a file in one step.
fn save(path: &Path, value: &impl Serialize) -> Outcome {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(|error| {
        Failure::failed(format!("what was verified cannot be kept in `{}`: {error}", path.display()))
            .hint("check the permissions of the folder and the space on its disk")
    })
}

/// Whether a node has told anything by now.
#[must_use]
pub fn is_told(told: &Verification) -> bool {
    told.rows > 0 || !told.not_provable.is_empty()
}

/// How far a result is proven, and what of it is the node's word only.
#[must_use]
pub fn sentences(told: &Verification) -> (Option<String>, Option<String>) {
    let heights = match told.height == told.height_newest {
        true => format!("height {}", told.height),
        false => format!("heights {} to {}", told.height, told.height_newest),
    };
    let proven = (told.rows > 0).then(|| {
        format!(
            "verified at {heights} by {} of {} members: {} rows, as of {}",
            told.signed, told.members, told.rows, told.time
        )
    });
    let list = told.not_provable.iter().map(String::as_str).collect::<Vec<_>>().join("; ");
    let unproven = (!list.is_empty()).then(|| match proven {
        Some(_) => format!("not provable, the node's word only: {list}"),
        None => format!("nothing of this is verified; not provable, the node's word only: {list}"),
    });
    (proven, unproven)
}
