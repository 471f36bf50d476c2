//! The example of RFC 8463, appendix A: its keys, its message.

use crate::judge::verdicts;
use crate::site::Site;

const ED25519: &str = include_str!("rfc8463-ed25519.pem");
const SECTION: &str = "From: Joe SixPack <joe@football.example.com>\r\n\
    To: Suzie Q <suzie@shopping.example.net>\r\n\
    Subject: Is dinner ready?\r\n\
    Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
    Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n";
const BODY: &str = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

#[test]
fn the_body_hash_is_that_of_rfc_8463() {
    let site = Site::with("football.example.com", &[("brisbane", ED25519)]);
    let message = String::from_utf8(site.signed(SECTION, BODY)).unwrap();
    assert!(message.contains("bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;"), "{message}");
    assert_eq!(verdicts(message.as_bytes(), &site.records()), ["brisbane pass"]);
}

/// The record is made of the RFC's private key; the signature is the RFC's own.
#[test]
fn our_record_verifies_the_signature_of_rfc_8463() {
    let signature = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n\
        \x20d=football.example.com; i=@football.example.com;\r\n\
        \x20q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n\
        \x20subject : date : message-id : from : subject : date;\r\n\
        \x20bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n\
        \x20b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n\
        \x20Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n";
    let site = Site::with("football.example.com", &[("brisbane", ED25519)]);
    let message = [signature, SECTION, "\r\n", BODY].concat();
    assert_eq!(verdicts(message.as_bytes(), &site.records()), ["brisbane pass"]);
}
