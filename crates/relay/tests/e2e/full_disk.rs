//! A full disk: new mail is refused with 452, nothing is lost, settling goes on, and mail is taken again by itself.
//!
//! On a file system of its own (tmpfs), which needs root; elsewhere the test says that it was skipped.

use std::path::Path;
use std::process::Command;

use crate::harness::sink::{Sink, dead_address};
use crate::harness::smtp::Session;
use crate::harness::{Relay, eventually, smart_host};

struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(at).output().ok()?;
        done.status.success().then_some(Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_refuses_new_mail_keeps_the_old_and_heals_without_a_restart() {
    let next_hop = dead_address();
    let (directory, config) = smart_host(next_hop, "[spool]\nreserve = \"16 MiB\"");
    let data = directory.path().join("data");
    let Some(small) = Small::mount(&data) else {
        println!("SKIPPED: a file system cannot be mounted here (needs root)");
        return;
    };
    let relay = Relay::start(&config);
    let mut session = Session::open(relay.address(0));
    let body = "y".repeat(70) + "\r\n";
    let content = |n: usize| format!("Subject: {n}\r\n\r\n{}", body.repeat(7_000));
    let mut accepted = 0;
    let refusal = loop {
        let reply = session.mail("a@contoso.test", &["b@example.test"], &content(accepted));
        if !reply.starts_with("250 ") {
            break reply;
        }
        accepted += 1;
        assert!(accepted < 200, "64 MB took {accepted} messages of 500 KB");
    };
    assert!(refusal.starts_with("452 4.3.1 "), "{refusal}");
    assert!(accepted > 10, "{accepted}");
    assert!(!relay.command(&["status"]).status.success(), "status says that it is not ready");

    let sink = Sink::at(next_hop);
    eventually("the path is probed", || {
        relay.command(&["retry", "--path", "contoso/next"]).status.success().then_some(())
    });
    assert_eq!(sink.wait_for(accepted).len(), accepted, "settling went on although the disk was full");
    eventually("mail is taken again", || {
        let reply =
            Session::open(relay.address(0)).mail("a@contoso.test", &["b@example.test"], "Subject: again\r\n\r\nx");
        reply.starts_with("250 ").then_some(())
    });
    assert_eq!(relay.drained()["conserved"], true);
    drop(relay);
    drop(small);
}
