//! What the user has set once: `config.toml` in the user's home of hansa.

use crate::error::{Failure, Outcome};
use crate::units;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The node that is asked when nothing is set.
pub const NODE_DEFAULT: &str = "http://127.0.0.1:8080";

/// The user's settings. Each may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the node that is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Name of the key that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The federation's genesis file, against whose members proofs are checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis: Option<PathBuf>,
    /// What answers are verified against: a genesis file, or a block's height and hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// Whether reported usage is countersigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub countersign: Option<Countersign>,
}

/// Whether reported usage is countersigned or contested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Countersign {
    /// Whatever is reported.
    Always,
    /// If it is at most so many basis points above what the wall clock says; else contested.
    Within(u16),
    /// The user is asked each time.
    Ask,
    /// Never: silence, and the challenge window passes.
    Never,
}

/// The names of the settings, as `hansa config set` takes them.
pub const SETTINGS: [&str; 5] = ["node", "key", "genesis", "trust", "countersign"];

impl FromStr for Countersign {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "always" => Ok(Self::Always),
            "ask" => Ok(Self::Ask),
            "never" => Ok(Self::Never),
            other => {
                let part = other.strip_prefix("within").map(|rest| rest.trim_start().trim_start_matches('='));
                let bps = part.and_then(|part| units::percent(part).ok());
                bps.map(Self::Within).ok_or_else(|| {
                    format!("`{text}` is no policy; choose `always`, `within 5%`, `ask` or `never`")
                })
            }
        }
    }
}

impl fmt::Display for Countersign {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => formatter.write_str("always"),
            Self::Within(bps) => write!(formatter, "within {}", units::percent_text(*bps).replace(' ', "")),
            Self::Ask => formatter.write_str("ask"),
            Self::Never => formatter.write_str("never"),
        }
    }
}

impl Serialize for Countersign {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Countersign {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Config {
    /// Reads the settings in `path`; a file that is not there sets nothing.
    ///
    /// # Errors
    /// Names the file and, for a mistake in it, the line and column.
    pub fn load(path: &Path) -> Outcome<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => parse(path, &text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::refused(format!("cannot read `{}`: {error}", path.display()))
                .hint("check its permissions")),
        }
    }

    /// Changes one setting; an empty value takes it away.
    ///
    /// # Errors
    /// When there is no such setting or it does not take this value.
    pub fn set(&mut self, setting: &str, value: &str) -> Outcome {
        let value = Some(value.trim()).filter(|value| !value.is_empty());
        match setting {
            "node" => self.node = value.map(node_address).transpose()?,
            "key" => self.key = value.map(str::to_owned),
            "genesis" => self.genesis = value.map(PathBuf::from),
            "trust" => self.trust = value.map(str::to_owned),
            "countersign" => {
                self.countersign = value.map(str::parse).transpose().map_err(Failure::refused)?
            }
            other => {
                return Err(Failure::refused(format!("there is no setting `{other}`"))
                    .hint(format!("the settings are {}", SETTINGS.join(", "))));
            }
        }
        Ok(())
    }

    /// Writes the settings in one step: a reader finds the old or the new file.
    ///
    /// # Errors
    /// When the file cannot be written; then the old one stands.
    pub fn save(&self, path: &Path) -> Outcome {
        let text = toml::to_string(self).expect("a flat table of text is always TOML");
        let write = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let draft = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = std::fs::File::create(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, path)
        };
        write().map_err(|error| {
            Failure::failed(format!("cannot write `{}`: {error}", path.display()))
                .hint("check the permissions of the folder and the space on its disk")
        })
    }
}

/// Reads a TOML file into a value.
///
/// # Errors
/// Names the file and, for a mistake in it, the line and column.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Outcome<T> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::refused(format!("cannot read `{}`: {error}", path.display()))
            .hint("check that it exists and is yours")
    })?;
    parse(path, &text)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Outcome<T> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
        let reason = error.message().replace('\n', ", ");
        Failure::refused(format!("`{}` line {line}, column {column}: {reason}", path.display()))
            .hint("correct that line; `hansa help` and the documentation name the fields")
    })
}

fn node_address(text: &str) -> Outcome<String> {
    if text.starts_with("https://") {
        return Err(Failure::refused(format!("`{text}` asks for https, and nodes are asked by http only"))
            .hint("write `http://`; to reach a distant node, tunnel to it, as with `ssh -L`"));
    }
    let rest = text.strip_prefix("http://");
    let sound = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(' '));
    match sound {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(Failure::refused(format!("`{text}` is no address of a node"))
            .hint(format!("write it as `{NODE_DEFAULT}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_one_text_and_refuse_others() {
        for (text, policy, shown) in [
            ("always", Countersign::Always, "always"),
            ("within 5%", Countersign::Within(500), "within 5%"),
            ("within = 2.5%", Countersign::Within(250), "within 2.5%"),
            ("within=5 %", Countersign::Within(500), "within 5%"),
            ("ask", Countersign::Ask, "ask"),
            ("never", Countersign::Never, "never"),
        ] {
            let read: Countersign = text.parse().unwrap();
            assert_eq!((read, read.to_string().as_str()), (policy, shown));
            assert_eq!(read.to_string().parse(), Ok(policy));
        }
        for text in ["", "sometimes", "within", "within 5", "within 500%"] {
            assert!(text.parse::<Countersign>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_node_is_set_by_an_address_that_can_be_asked() {
        let mut config = Config::default();
        config.set("node", "http://127.0.0.1:8080/").unwrap();
        assert_eq!(config.node.as_deref(), Some("http://127.0.0.1:8080"));
        for (address, word) in [
            ("https://node.example", "https"),
            ("node.example", "no address"),
            ("http://", "no address"),
            ("http:///x", "no address"),
        ] {
            let error = config.set("node", address).unwrap_err();
            assert!(error.message.contains(word), "{address}: {error}");
        }
        assert_eq!(config.node.as_deref(), Some("http://127.0.0.1:8080"), "a refused value changes nothing");
    }

    #[test]
    fn a_mistake_is_told_with_line_and_column() {
        let path = Path::new("config.toml");
        for (text, place) in [
            ("node = \"http://a\"\nkye = \"b\"\n", "line 2, column 1"),
            ("countersign = \"perhaps\"\n", "line 1, column 15"),
            ("key = 5\n", "line 1, column 7"),
            ("node = \n", "line 1, column 8"),
        ] {
            let error = parse::<Config>(path, text).unwrap_err();
            assert!(error.message.contains(place), "{text:?}: {error}");
        }
    }
}
