//! Chores of the workspace: `cargo xtask tidy` holds the layout against the rules, `cargo xtask generate` writes what is
//! generated.

mod tidy;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy::run(root),
        Some("generate") => generate(root),
        _ => bail!("usage: cargo xtask tidy | generate"),
    }
}

fn generate(root: &std::path::Path) -> anyhow::Result<()> {
    std::fs::write(root.join("docs/configuration.md"), config::reference_markdown())?;
    std::fs::write(root.join("docs/refusals.md"), m365::refusals_markdown())?;
    Ok(())
}
