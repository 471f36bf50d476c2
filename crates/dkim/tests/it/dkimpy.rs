//! dkimpy as a second judge, which shares no code with us or with mail-auth; the relay's tests ask it too. Where no Python has it
//! it is skipped with a word; where POSTHOUSE_REQUIRE_CLIENTS is set (in CI) that is a failure.
//!
//! Records are pairs of name and value.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

const SCRIPT: &str = include_str!("verify.py");
/// The first in PATH may be another than the system's, whose packages it does not see.
const INTERPRETERS: [&str; 2] = ["python3", "/usr/bin/python3"];

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "CI says that nothing may be skipped")]
pub(crate) fn installed() -> bool {
    let found = interpreter().is_some();
    if !found {
        assert!(std::env::var("POSTHOUSE_REQUIRE_CLIENTS").is_err(), "no python3 has the modules dkim and nacl");
        println!("SKIPPED: no python3 has the modules dkim and nacl");
    }
    found
}

/// The first that has the modules.
fn interpreter() -> Option<&'static str> {
    static FOUND: OnceLock<Option<&str>> = OnceLock::new();
    let has_modules = |python: &&str| {
        let python = Command::new(python).args(["-c", "import dkim, nacl"]).stderr(Stdio::null()).status();
        python.is_ok_and(|status| status.success())
    };
    *FOUND.get_or_init(|| INTERPRETERS.into_iter().find(has_modules))
}

/// A line for each signature, and one for the ARC chain.
pub(crate) fn verdicts(message: &[u8], records: &[(String, String)]) -> Vec<String> {
    let records: Vec<_> = records.iter().map(|(name, value)| format!("\"{name}\": \"{value}\"")).collect();
    let told =
        format!("{{\"records\": {{{}}}, \"message\": \"{}\"}}", records.join(", "), BASE64_STANDARD.encode(message));
    let mut python = Command::new(interpreter().unwrap());
    let mut python = python.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
