//! `posthouse demo --once`: the first thing that anybody runs.

#[test]
fn the_demo_hands_over_everything_that_it_accepts() {
    let output = crate::harness::command(&["demo", "--once"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("accepted = handed over: nothing is missing"), "{text}");
    for told in ["535 5.7.3", "432 4.3.2", "handed over: ", "said 250 2.0.0 OK <"] {
        assert!(text.contains(told), "`{told}` is not told in\n{text}");
    }
}
