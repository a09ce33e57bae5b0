//! The verbs of `hansa contract`, each as its user would use it.

mod author;
mod common;
mod files;
mod page;
mod replay;
mod verbs;
mod walk;
