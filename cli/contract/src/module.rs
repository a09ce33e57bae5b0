//! A module, ready to be asked.

use crate::{ContractError, file};
use hansa_contracts_abi::wire::{EXPORT_ADMIT, EXPORT_QUOTE, EXPORT_SETTLE, SECTION_META};
use hansa_contracts_abi::{ModuleMeta, ModuleRefusal, ModuleSummary, Runtime};
use hansa_contracts_host::Host;
use std::path::Path;

/// The most bytes that are read of a module: enough to tell that one is too large by the ledger's own rule.
const MODULE_BYTES_MAX: u64 = 4 << 20;

/// A module that the ledger would take, in a host of its own.
#[derive(Debug)]
pub(crate) struct Module {
    pub host: Host,
    pub hash: [u8; 32],
    pub summary: ModuleSummary,
    pub meta: ModuleMeta,
}

impl Module {
    /// Checks and loads a module as a node does.
    pub(crate) fn open(code: &[u8]) -> Result<Self, ModuleRefusal> {
        let host = Host::new();
        let summary = Runtime::validate(&host, code)?;
        let hash = Runtime::load(&host, code)?;
        let meta = meta(code).unwrap_or_else(|| ModuleMeta {
            name: summary.name.clone(),
            version: summary.version.clone(),
            abi: hansa_contracts_abi::ABI_VERSION,
            tariff: String::new(),
        });
        Ok(Self { host, hash, summary, meta })
    }

    /// The functions that the ledger can call.
    pub(crate) fn exports(&self) -> Vec<&'static str> {
        let admit = self.summary.has_admit.then_some(EXPORT_ADMIT);
        [Some(EXPORT_QUOTE), Some(EXPORT_SETTLE), admit].into_iter().flatten().collect()
    }

    /// One line that says which contract this is.
    pub(crate) fn title(&self) -> String {
        format!(
            "{} {}, {} bytes, code hash {}",
            self.meta.name,
            self.meta.version,
            self.summary.bytes,
            hex::encode(self.hash)
        )
    }
}

/// The code of a built-in contract by its name, else the bytes of a file.
pub(crate) fn read_code(path: &Path) -> Result<Vec<u8>, ContractError> {
    let named = path.to_str().filter(|_| !path.exists());
    let builtin = hansa_contracts_bundle::builtin().iter().find(|(name, _)| Some(*name) == named);
    match builtin {
        Some((_, code)) => Ok(code.to_vec()),
        None => file::read(path, MODULE_BYTES_MAX).map_err(|error| {
            let names: Vec<&str> = hansa_contracts_bundle::builtin().iter().map(|(name, _)| *name).collect();
            error.hint(format!("give a module, or the name of a built-in contract: {}", names.join(", ")))
        }),
    }
}

/// Opens a module that has to be one.
pub(crate) fn open(path: &Path) -> Result<Module, ContractError> {
    Module::open(&read_code(path)?).map_err(|refusal| {
        ContractError::new(format!("the ledger would refuse the module: {refusal}"))
            .hint(format!("`hansa contract check {}` says more", path.display()))
    })
}

/// What the custom section of a module says. Nothing where a section does not end inside of the module.
fn meta(code: &[u8]) -> Option<ModuleMeta> {
    // Magic and version.
    let mut rest = code.get(8..)?;
    while let Some((id, after)) = rest.split_first() {
        let (size, after) = number(after)?;
        let (body, next) = after.split_at_checked(size)?;
        if *id == 0 {
            let (length, named) = number(body)?;
            let (name, content) = named.split_at_checked(length)?;
            if name == SECTION_META.as_bytes() {
                return ModuleMeta::decode(content);
            }
        }
        rest = next;
    }
    None
}

/// A length as modules write it (LEB128), and what follows.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(at.checked_add(1)?..)?));
        }
    }
    None
}
