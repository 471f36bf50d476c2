//! dkimpy as a second judge, which shares no code with us or with mail-auth. Where Python or dkimpy is missing it is skipped
//! with a word; where POSTHOUSE_REQUIRE_CLIENTS is set (in CI) that is a failure.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use posthouse_dkim::DnsRecord;

use crate::site::Site;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/verify.py");

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "CI says that nothing may be skipped")]
pub(crate) fn installed() -> bool {
    let python = Command::new("python3").args(["-c", "import dkim, nacl"]).stderr(Stdio::null()).status();
    let found = python.is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var("POSTHOUSE_REQUIRE_CLIENTS").is_err(), "python3 with dkim and nacl is not installed");
        println!("SKIPPED: python3 with dkim and nacl is not installed");
    }
    found
}

/// A line for each signature, and one for the ARC chain.
pub(crate) fn verdicts(message: &[u8], records: &[DnsRecord]) -> Vec<String> {
    let records: Vec<_> = records.iter().map(|record| format!("\"{}\": \"{}\"", record.name, record.value)).collect();
    let told =
        format!("{{\"records\": {{{}}}, \"message\": \"{}\"}}", records.join(", "), BASE64_STANDARD.encode(message));
    let mut python = Command::new("python3").arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn dkimpy_verifies_what_we_sign_and_notices_changes() {
    if !installed() {
        return;
    }
    let site = Site::contoso();
    let long = "Zeile  um Zeile \t\r\n\r\n".repeat(3000);
    for (section, body) in [
        ("From: anna@contoso.test\r\n", ""),
        ("From: anna@contoso.test\r\nSubject: a\r\n\tb  c \r\nTo: x\r\nTo: y\r\n", " a\r\n\r\n b\tc \r\n\r\n \r\n"),
        ("Subject : x\r\nFrom : anna@contoso.test\r\nReferences: <1@x>\r\n <2@x>\r\nDate: d\r\n", "ohne Zeilenende"),
        ("From: anna@contoso.test\r\nCc: grüße\r\n", &long),
    ] {
        let message = site.signed(section, body);
        assert_eq!(verdicts(&message, &site.records()), ["pass", "pass"], "{section:?} {body:?}");
        let longer = [&message, &b"x"[..]].concat();
        let verdicts = verdicts(&longer, &site.records());
        assert!(verdicts.len() == 2 && verdicts.iter().all(|v| v.starts_with("fail")), "{verdicts:?}");
    }
}
