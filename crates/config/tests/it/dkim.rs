//! Keys for DKIM signatures: what the entries come to, and what is said about bad ones.

use std::path::Path;

use ::dkim::{Algorithm, generate, write_new};

use crate::{TEN_LINES, directory, parse};

/// The ten lines with these at their end, which begin at line 14; what is said, warnings included.
fn said(dir: &Path, more: &str) -> String {
    let text = format!("{TEN_LINES}{more}");
    let said: Vec<_> = match parse(&text, dir) {
        Ok(config) => config.warnings.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.errors.iter().chain(&errors.warnings).map(ToString::to_string).collect(),
    };
    said.join("\n").replace("posthouse.toml:", "").replace(&dir.display().to_string(), "DIR")
}

fn with_keys() -> tempfile::TempDir {
    let dir = directory();
    write_new(&dir.path().join("rsa.pem"), &generate(Algorithm::RsaSha256, 2048).unwrap()).unwrap();
    write_new(&dir.path().join("ed.pem"), &generate(Algorithm::Ed25519Sha256, 0).unwrap()).unwrap();
    dir
}

fn entry(domain: &str, selector: &str, key: &str, more: &str) -> String {
    format!("[[dkim]]\ndomain = \"{domain}\"\nselector = \"{selector}\"\nkey = \"{key}\"\n{more}\n")
}

#[test]
fn entries_become_keys_in_their_order() {
    let dir = with_keys();
    let entries = entry("Contoso.com", "A", "rsa.pem", "") + &entry("contoso.com", "b", "ed.pem", "sign = false");
    let config = parse(&format!("{TEN_LINES}{entries}"), dir.path()).unwrap();
    assert_eq!(config.warnings, []);
    let keys: Vec<_> = config
        .dkim
        .iter()
        .map(|key| (key.domain.as_str(), key.selector.as_str(), key.file.clone(), key.sign))
        .collect();
    assert_eq!(
        keys,
        [
            ("contoso.com", "a", dir.path().join("rsa.pem"), true),
            ("contoso.com", "b", dir.path().join("ed.pem"), false)
        ]
    );
}

#[test]
fn a_file_without_entries_signs_nothing() {
    let dir = directory();
    assert_eq!(parse(TEN_LINES, dir.path()).unwrap().dkim, []);
}

#[test]
fn what_is_no_key_is_an_error() {
    let dir = with_keys();
    let check = |more: &str, expected: &str| assert_eq!(said(dir.path(), more), expected.trim());
    check(
        &entry("contoso.com", "a", "gone.pem", ""),
        "
17: cannot read the DKIM key DIR/gone.pem: No such file or directory (os error 2)
  hint: `posthouse dkim new contoso.com` makes a key; the path is relative to the configuration file",
    );
    check(
        &entry("contoso.com", "a", "no.pem", ""),
        "
17: the DKIM key DIR/no.pem cannot be used: it holds no private key in PEM (no items found); an encrypted one must be decrypted first
  hint: `posthouse dkim new contoso.com` makes a key; the path is relative to the configuration file",
    );
    check(
        &entry("contoso", "a_b", "rsa.pem", ""),
        "
15: `domain` is not a domain: \"contoso\"
  hint: for example \"contoso.com\"; international names in their xn-- form
16: `selector` is not a selector: \"a_b\"
  hint: letters, digits and hyphens, for example \"posthouse-2026-11a\"",
    );
}

#[test]
fn two_keys_cannot_share_a_record() {
    let dir = with_keys();
    let entries = entry("contoso.com", "a", "rsa.pem", "") + &entry("contoso.com", "A", "ed.pem", "");
    assert_eq!(
        said(dir.path(), &entries),
        "21: two keys of contoso.com have the selector \"a\"\n  hint: a record holds one key: make the next one with \
         `posthouse dkim new`, which names it anew"
    );
}

#[test]
fn keys_that_do_not_do_what_was_meant_are_worth_a_look() {
    let dir = with_keys();
    let check = |more: &str, expected: &str| assert_eq!(said(dir.path(), more), expected.trim());
    check(
        &entry("fabrikam.com", "a", "rsa.pem", ""),
        "
15: neither fabrikam.com nor a domain below it is in any tenant's `domains`
  hint: no mail will be signed with this key: is the domain spelt right?",
    );
    check(
        &entry("contoso.com", "a", "ed.pem", ""),
        "
14: mail of contoso.com is signed with Ed25519 alone, which many receivers do not verify
  hint: add an RSA key beside it: posthouse dkim new contoso.com",
    );
    check(&(entry("contoso.com", "a", "ed.pem", "") + &entry("contoso.com", "b", "rsa.pem", "")), "");
    check(&entry("contoso.com", "a", "ed.pem", "sign = false"), "");
}

#[test]
fn one_rsa_key_may_seal() {
    let dir = with_keys();
    let check = |more: &str, expected: &str| assert_eq!(said(dir.path(), more), expected.trim());
    let rsa = |selector| entry("contoso.com", selector, "rsa.pem", "seal = true");
    check(&rsa("a"), "");
    let config = parse(&format!("{TEN_LINES}{}", rsa("a")), dir.path()).unwrap();
    assert!(config.dkim.iter().all(|key| key.seal));
    let twice = "19: two keys have `seal = true`\n  hint: a message is sealed once: take one out";
    check(&(rsa("a") + &rsa("b")), twice);
    check(
        &(entry("contoso.com", "a", "ed.pem", "seal = true") + &entry("contoso.com", "b", "rsa.pem", "")),
        "
14: an ARC seal is made with an RSA key
  hint: write `seal = true` into the entry of one",
    );
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = with_keys();
    std::fs::set_permissions(dir.path().join("rsa.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        said(dir.path(), &entry("contoso.com", "a", "rsa.pem", "")),
        "17: others on this machine can read or replace the DKIM key DIR/rsa.pem\n  hint: chmod 600 DIR/rsa.pem"
    );
}
