//! What holds for every template, over generated lives of leases and generated facts.

mod crumbs;
mod lives;
mod modules;
