//! What a key file holds; the form is shared with everything else that reads keys.

pub use hansa_node_api::keyfile::{KeyFile, KeyFileError, Passphrase, Protection};
