//! The link breaks while the last byte is on its way: never lost, never called done, and twice only where the receiver had it.

use sandbox::{Action, Fault, Settings, Step};

use crate::harness::smtp::accepted;
use crate::harness::{Relay, eventually};
use crate::refusals::Simulated;

fn simulated(path: &str) -> Simulated {
    let simulated = Simulated::start_with(Settings::default(), "[queue]\nretry = [\"1s\"]");
    let text = std::fs::read_to_string(&simulated.config).unwrap();
    let text =
        text.replace("mailbox = \"relay@contoso.test\" }", &format!("mailbox = \"relay@contoso.test\"{path} }}"));
    std::fs::write(&simulated.config, text).unwrap();
    simulated
}

fn copies(simulated: &Simulated, recipient: &str) -> usize {
    simulated.sandbox.messages_for(recipient).len()
}

#[test]
fn an_unconfirmed_message_is_sent_again_and_the_story_says_that_it_may_come_twice() {
    let simulated = simulated("");
    simulated.sandbox.add_fault(Fault::at(Step::End).action(Action::StoreThenDisconnect).once()).unwrap();
    let relay = Relay::start(&simulated.config);
    let id = accepted(relay.address(0), "relay@contoso.test", &["anna@example.test"], "scan");
    eventually("the second copy", || (copies(&simulated, "anna@example.test") == 2).then_some(()));
    relay.drained();
    let story = relay.json(&["message", &id, "--json"])["story"].to_string();
    assert!(story.contains("unconfirmed") && story.contains("handed-over"), "{story}");
    // The same message both times: the receiver can tell.
    let ids: Vec<_> = simulated.sandbox.messages().iter().map(|m| m.original_message_id.clone()).collect();
    assert!(ids[0].is_some() && ids[0] == ids[1], "{ids:?}");
    simulated.stop();
}

#[test]
fn with_the_policy_hold_an_unconfirmed_message_waits_for_an_operator() {
    let simulated = simulated(", unconfirmed = \"hold\"");
    simulated.sandbox.add_fault(Fault::at(Step::End).action(Action::StoreThenDisconnect).once()).unwrap();
    let relay = Relay::start(&simulated.config);
    let id = accepted(relay.address(0), "relay@contoso.test", &["anna@example.test"], "scan");
    let held = eventually("it is held", || {
        Some(relay.json(&["message", &id, "--json"])["held"]["reason"].clone()).filter(|reason| reason.is_string())
    });
    assert!(held.as_str().unwrap().contains("posthouse release"), "{held}");
    assert_eq!(copies(&simulated, "anna@example.test"), 1);
    // The operator has looked: it had arrived.
    assert!(relay.command(&["remove", &id]).status.success());
    let counters = relay.drained();
    assert_eq!((&counters["removed"], &counters["conserved"]), (&1.into(), &true.into()));
    simulated.stop();
}

#[test]
fn a_kill_between_the_last_byte_and_the_reply_leaves_an_unconfirmed_message_and_a_spent_budget() {
    let simulated = simulated(", unconfirmed = \"hold\"");
    // The message is stored, its reply does not come while the relay lives.
    simulated.sandbox.add_fault(Fault::at(Step::End).delay(std::time::Duration::from_secs(600)).once()).unwrap();
    let relay = Relay::start(&simulated.config);
    let recipients = ["anna@example.test", "bob@example.test"];
    let id = accepted(relay.address(0), "relay@contoso.test", &recipients, "scan");
    eventually("the content is at the far side", || (simulated.sandbox.statistics().faults > 0).then_some(()));
    relay.kill();
    let relay = Relay::start(&simulated.config);
    let message = eventually("the interrupted attempt is known", || {
        Some(relay.json(&["message", &id, "--json"])).filter(|message| message["held"].is_object())
    });
    assert!(message["story"].to_string().contains("interrupted"), "{message}");
    let status = relay.json(&["status", "--json"]);
    let day = status["budgets"]
        .as_array()
        .unwrap()
        .iter()
        .find(|budget| budget["name"].as_str().unwrap().ends_with("relay@contoso.test/recipients a day"));
    assert_eq!(day.unwrap()["used"], 2, "{status}");
    drop(relay);
    simulated.stop();
}
