//! One notice when something breaks, one when it is over, through a webhook; and a test of it by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::smtp::accepted;
use crate::harness::{Relay, eventually};
use crate::refusals::Simulated;

/// Takes JSON by POST and remembers it.
struct Hook {
    address: SocketAddr,
    notices: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Self { address: listener.local_addr().unwrap(), notices: Arc::default() };
        let notices = Arc::clone(&hook.notices);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_ok() {
                    notices.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                }
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        hook
    }

    fn notices(&self) -> Vec<Value> {
        self.notices.lock().unwrap().clone()
    }

    fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} notices"), || Some(self.notices()).filter(|notices| notices.len() >= count))
    }
}

fn simulated(hook: &Hook) -> Simulated {
    let alert = "[[alert]]\nname = \"hook\"\nwebhook = { url = { file = \"hook\" } }\n";
    let simulated = Simulated::start_with(sandbox::Settings::default(), alert);
    std::fs::write(simulated.directory.path().join("hook"), format!("http://{}/secret-part", hook.address)).unwrap();
    simulated
}

#[test]
fn a_dead_secret_gives_one_notice_with_the_remedy_and_one_when_it_is_cured_also_over_a_restart() {
    let hook = Hook::start();
    let simulated = simulated(&hook);
    simulated.write_secret("not the secret");
    let relay = Relay::start(&simulated.config);
    for n in 0..5 {
        accepted(relay.address(0), "relay@contoso.test", &["anna@example.test"], &format!("scan {n}"));
    }
    let opened = &hook.wait_for(1)[0];
    assert_eq!((&opened["state"], &opened["kind"]), (&"open".into(), &"breaker".into()), "{opened}");
    assert_eq!(opened["code"], "AADSTS7000215", "{opened}");
    assert!(opened["remedy"].as_str().is_some_and(|remedy| remedy.contains("secret")), "{opened}");
    assert!(relay.stop().success());

    let relay = Relay::start(&simulated.config);
    eventually("the breaker is open over the restart", || {
        let status = relay.json(&["status", "--json"]);
        (status["breakers"][0]["code"] == "AADSTS7000215").then_some(())
    });
    simulated.write_secret(simulated.sandbox.endpoints().client_secret.as_str());
    assert!(relay.command(&["retry", "--path", "contoso/submission/relay@contoso.test"]).status.success());
    simulated.arrived(5);
    let notices = hook.wait_for(2);
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert_eq!(notices[1]["state"], "closed", "{notices:?}");
    let log = relay.log.text();
    assert!(!log.contains("secret-part"), "the URL of a webhook is a secret: {log}");
    simulated.stop();
}

#[test]
fn alert_test_sends_a_notice_through_each_channel_and_says_what_came_of_it() {
    let hook = Hook::start();
    let simulated = simulated(&hook);
    let relay = Relay::start(&simulated.config);
    let output = relay.command(&["alert", "test"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("hook"), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(hook.wait_for(1)[0]["kind"], "test");
    let unknown = relay.command(&["alert", "test", "pager"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", String::from_utf8_lossy(&unknown.stderr));
    simulated.stop();
}
