//! Who may depend on whom, and how large a file may grow. A missing arrow is a promise: what is not listed here must not
//! be in a crate's `[dependencies]`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// Crate, and which of ours it may depend on. `telemetry` may be used by any crate that does I/O.
const ARROWS: &[(&str, &[&str])] = &[
    ("smtp", &[]),
    ("secret", &[]),
    ("telemetry", &[]),
    ("api", &[]),
    ("alert", &["secret", "telemetry"]),
    ("message", &["smtp"]),
    ("m365", &["smtp"]),
    ("queue", &["smtp", "message"]),
    ("dkim", &[]),
    ("doctor", &["m365", "smtp"]),
    ("spool", &["queue", "smtp", "telemetry"]),
    ("entra", &["m365", "secret", "telemetry"]),
    ("inbound", &["queue", "message", "smtp", "secret", "telemetry"]),
    ("transport", &["queue", "message", "dkim", "smtp", "m365", "entra", "secret", "telemetry"]),
    ("qmgr", &["queue", "message", "smtp", "telemetry"]),
    ("admin", &["alert", "api", "queue", "qmgr", "smtp", "telemetry"]),
    (
        "config",
        &[
            "alert",
            "dkim",
            "doctor",
            "inbound",
            "message",
            "qmgr",
            "queue",
            "spool",
            "transport",
            "entra",
            "m365",
            "smtp",
            "secret",
            "telemetry",
        ],
    ),
    ("sandbox", &["smtp", "message", "m365"]),
];

/// Crates that know no socket, file, clock or async runtime.
const PURE: &[&str] = &["smtp", "message", "m365", "queue"];
/// What they must therefore not depend on.
const IMPURE: &[&str] = &["tokio", "reqwest", "rustls", "rusqlite", "nix", "axum", "socket2"];

const LONGEST_FILE: usize = 900;

pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut findings = arrows(&metadata(root)?)?;
    findings.extend(long_files(root)?);
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{}", findings.join("\n"));
}

fn metadata(root: &Path) -> anyhow::Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn arrows(metadata: &Value) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = short(package["name"].as_str().unwrap_or_default());
        if matches!(name, "posthouse" | "xtask") {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(n, _)| *n == name) else {
            findings.push(format!("crate `{name}` is not in the table of xtask/src/tidy.rs"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        for dependency in dependencies.filter(|d| d["kind"].is_null()).filter_map(|d| d["name"].as_str()) {
            let ours = dependency.starts_with("posthouse-");
            if ours && !allowed.contains(&short(dependency)) {
                findings.push(format!("`{name}` must not depend on `{}`", short(dependency)));
            }
            if PURE.contains(&name) && IMPURE.contains(&dependency) {
                findings.push(format!("`{name}` does no I/O and must not depend on `{dependency}`"));
            }
        }
    }
    Ok(findings)
}

fn short(package: &str) -> &str {
    package.strip_prefix("posthouse-").unwrap_or(package)
}

fn long_files(root: &Path) -> anyhow::Result<Vec<String>> {
    let listed = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root).output()?;
    let mut findings = Vec::new();
    for file in String::from_utf8(listed.stdout)?.lines() {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            findings.push(format!("{file} has {lines} lines (at most {LONGEST_FILE}): it has two topics; split it"));
        }
        if !text.starts_with("//!") && !text.starts_with("#!") {
            findings.push(format!("{file} does not open with what it is for (`//!`)"));
        }
    }
    Ok(findings)
}
