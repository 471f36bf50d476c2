//! The commands against a running relay.

use serde_json::Value;

use crate::harness::sink::{Sink, dead_address};
use crate::harness::smtp::{Session, accepted};
use crate::harness::{Relay, command, smart_host};

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_queue_lists_what_waits_and_filters_it() {
    let (_directory, config) = smart_host(dead_address(), "");
    let relay = Relay::start(&config);
    let first = accepted(relay.address(0), "scanner@contoso.test", &["anna@example.test"], "one");
    let second = accepted(relay.address(0), "erp@contoso.test", &["ben@example.test"], "two");
    assert_eq!(ids(&relay.json(&["queue", "--json"])), [first.as_str(), second.as_str()]);
    assert_eq!(ids(&relay.json(&["queue", "--json", "--sender", "SCANNER"])), [first.as_str()]);
    assert_eq!(ids(&relay.json(&["queue", "--json", "--recipient", "ben@"])), [second.as_str()]);
    assert_eq!(ids(&relay.json(&["queue", "--json", "--client", "nobody"])), Vec::<String>::new());
    assert_eq!(ids(&relay.json(&["queue", "--json", "--max", "1"])), [first.as_str()]);
    let text = String::from_utf8(relay.command(&["queue"]).stdout).unwrap();
    assert!(text.contains(&first) && text.contains("<scanner@contoso.test>"), "{text}");
}

#[test]
fn a_held_message_stays_until_it_is_released() {
    let next_hop = dead_address();
    let (_directory, config) = smart_host(next_hop, "");
    let relay = Relay::start(&config);
    let id = accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "held");
    assert!(relay.command(&["hold", &id, "--reason", "looks odd"]).status.success());
    let message = relay.json(&["message", &id, "--json"]);
    assert!(message["held"]["reason"].as_str().unwrap().contains("looks odd"), "{message}");
    assert_eq!(ids(&relay.json(&["queue", "--held", "--json"])), [id.as_str()]);

    let sink = Sink::at(next_hop);
    let other = accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "free");
    let _ = relay.command(&["retry", "--path", "contoso/next"]);
    assert_eq!(sink.wait_for(1)[0].subject(), "free");
    assert_ne!(id, other);
    assert!(relay.command(&["release", &id]).status.success());
    let _ = relay.command(&["retry", &id]);
    assert_eq!(sink.wait_for(2)[1].subject(), "held");
}

#[test]
fn a_removed_message_is_gone_from_the_queue_and_kept_in_the_history() {
    let (_directory, config) = smart_host(dead_address(), "");
    let relay = Relay::start(&config);
    let id = accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "wrong");
    assert!(relay.command(&["remove", &id]).status.success());
    assert_eq!(ids(&relay.json(&["queue", "--json"])), Vec::<String>::new());
    assert_eq!(ids(&relay.json(&["queue", "--history", "--json"])), [id.as_str()]);
    assert_eq!(relay.json(&["message", &id, "--json"])["recipients"][0]["state"], "removed");
    let counters = relay.counters();
    assert_eq!((&counters["removed"], &counters["conserved"]), (&1.into(), &true.into()));
}

#[test]
fn orders_for_many_need_conditions_or_all() {
    let (_directory, config) = smart_host(dead_address(), "");
    let relay = Relay::start(&config);
    for n in 0..3 {
        accepted(relay.address(0), &format!("s{n}@contoso.test"), &["b@example.test"], "x");
    }
    assert!(!relay.command(&["remove"]).status.success());
    assert_eq!(relay.json(&["hold", "--sender", "s1@", "--json"])["done"], 1);
    assert_eq!(relay.json(&["remove", "--all", "--json"])["done"], 3);
    assert_eq!(relay.counters()["messages"], 0);
}

#[test]
fn a_message_is_told_with_its_header_section_and_its_bytes() {
    let (_directory, config) = smart_host(dead_address(), "");
    let relay = Relay::start(&config);
    let reply = Session::open(relay.address(0)).mail(
        "a@contoso.test",
        &["b@example.test"],
        "Subject: told\r\nX-Mark: here\r\n\r\nbody",
    );
    let id = crate::harness::smtp::id_in(&reply);
    let text = String::from_utf8(relay.command(&["message", &id]).stdout).unwrap();
    assert!(text.contains("X-Mark: here") && text.contains("accepted: on stable storage"), "{text}");
    let raw = relay.command(&["message", &id, "--raw"]).stdout;
    assert!(raw.starts_with(b"Received: ") && raw.ends_with(b"X-Mark: here\r\n\r\nbody\r\n"));
}

#[test]
fn a_message_that_does_not_exist_is_an_error_with_a_hint() {
    let (_directory, config) = smart_host(dead_address(), "");
    let relay = Relay::start(&config);
    for id in ["0000000000000", "nonsense", "../status"] {
        let output = relay.command(&["message", id]);
        assert_eq!(output.status.code(), Some(1), "{id}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("message"), "{output:?}");
    }
}

#[test]
fn without_a_relay_commands_say_so_and_exit_with_4() {
    let (_directory, config) = smart_host(dead_address(), "");
    let output = command(&["status", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no relay answers"), "{output:?}");
}

#[test]
fn the_spool_can_be_checked_and_backed_up_beside_the_running_relay_and_the_copy_runs() {
    let next_hop = dead_address();
    let (directory, config) = smart_host(next_hop, "");
    let relay = Relay::start(&config);
    let id = accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "copied");
    let spool = directory.path().join("data/spool");
    let checked = command(&["spool", "check", spool.to_str().unwrap()]);
    assert!(checked.status.success(), "{checked:?}");
    let copy = directory.path().join("copy/spool");
    std::fs::create_dir(directory.path().join("copy")).unwrap();
    let copied = command(&["spool", "backup", spool.to_str().unwrap(), "--to", copy.to_str().unwrap()]);
    assert!(copied.status.success(), "{copied:?}");
    relay.kill();

    let text = std::fs::read_to_string(&config).unwrap().replace("\"data\"", "\"copy\"");
    std::fs::write(&config, text).unwrap();
    let sink = Sink::at(next_hop);
    let relay = Relay::start(&config);
    assert_eq!(sink.wait_for(1)[0].subject(), "copied");
    relay.drained();
    assert_eq!(relay.json(&["message", &id, "--json"])["recipients"][0]["state"], "handed-over");
}

#[test]
fn a_lost_database_is_rescued_from_the_segments() {
    let next_hop = dead_address();
    let (directory, config) = smart_host(next_hop, "");
    let relay = Relay::start(&config);
    accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "rescued");
    assert!(relay.stop().success());
    let spool = directory.path().join("data/spool");
    for file in std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("spool.db") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let rescued = command(&["spool", "rescue", spool.to_str().unwrap()]);
    assert!(rescued.status.success(), "{rescued:?}");
    let sink = Sink::at(next_hop);
    let _relay = Relay::start(&config);
    assert_eq!(sink.wait_for(1)[0].subject(), "rescued");
}
