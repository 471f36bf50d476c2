//! Bodies before and after re-encoding: what they decode to, and what a next hop is shown.

mod corpus;
mod random;
mod reference;

use message::mime::{BodyPlan, Needs, Reencoder, Survey, TopPart};
use reference::{Leaf, Top};

/// A body that went through.
struct Through {
    plan: BodyPlan,
    body: Vec<u8>,
    /// What the message's header section states now.
    top: Top,
}

fn through(top: &Top, pieces: &[&[u8]], seven_bit: bool) -> Through {
    let part =
        TopPart { content_type: top.content_type.as_deref(), content_transfer_encoding: top.encoding.as_deref() };
    let mut survey = Survey::new(part, Needs { seven_bit });
    pieces.iter().for_each(|piece| survey.push(piece));
    let plan = survey.finish();
    let (mut reencoder, mut body) = (Reencoder::new(&plan), Vec::new());
    pieces.iter().for_each(|piece| reencoder.push(piece, &mut body));
    reencoder.finish(&mut body);
    let mut top = top.clone();
    if let Some(new) = plan.top() {
        top.encoding = Some(new.encoding.to_string().into_bytes());
        let charset = new.charset.map(|charset| format!("text/plain; charset={charset}").into_bytes());
        assert!(charset.is_none() || top.content_type.is_none(), "a second Content-Type");
        top.content_type = top.content_type.or(charset);
    }
    Through { plan, body, top }
}

/// What a next hop would mind.
fn flaw(body: &[u8], seven_bit: bool) -> Option<&'static str> {
    let lines = reference::lines(body);
    let bare = lines.iter().any(|line| matches!(line.end, b"\r" | b"\n"));
    let long = lines.iter().any(|line| line.text.len() > 998);
    match () {
        () if bare => Some("a bare CR or LF"),
        () if long => Some("a line over 998 octets"),
        () if body.contains(&0) => Some("NUL"),
        () if seven_bit && !body.is_ascii() => Some("an octet over 127"),
        () => None,
    }
}

/// All that always holds; `cut` is where the body is cut, once.
fn check(top: &Top, body: &[u8], cut: usize, seven_bit: bool) -> Through {
    let whole = through(top, &[body], seven_bit);
    let (one, two) = body.split_at(cut.min(body.len()));
    let halves = through(top, &[one, &[], two], seven_bit);
    assert_eq!((&halves.body, halves.plan.notes()), (&whole.body, whole.plan.notes()), "it depends on the cut");
    let plan = &whole.plan;
    if plan.refusal().is_some() {
        assert!(!plan.is_identity());
        assert!(flaw(body, seven_bit).is_some(), "refused for nothing: {:?}", plan.refusal());
        return whole;
    }
    assert_eq!(flaw(&whole.body, seven_bit), None, "{:?}\n{}", plan, whole.body.escape_ascii());
    assert_eq!(plan.is_identity(), whole.body == body, "{:?}", plan.notes());
    assert_eq!(plan.is_identity(), flaw(body, seven_bit).is_none(), "{:?}", plan.notes());
    assert_eq!(plan.is_identity(), plan.notes().is_empty(), "changes are told");
    if let Some(before) = reference::leaves(top, body) {
        let after = reference::leaves(&whole.top, &whole.body).expect("the same boundaries");
        same(&before, &after, &whole.body);
    }
    let again = through(&whole.top, &[&whole.body], seven_bit);
    assert!(again.plan.is_identity(), "a second time: {:?}", again.plan.notes());
    whole
}

fn same(before: &[Leaf], after: &[Leaf], body: &[u8]) {
    let media = |leaves: &[Leaf]| leaves.iter().map(|leaf| leaf.media.clone()).collect::<Vec<_>>();
    assert_eq!(media(before), media(after), "{}", body.escape_ascii());
    for (before, after) in before.iter().zip(after) {
        let equal = before.octets == after.octets || before.with_crlf.as_ref() == Some(&after.octets);
        assert!(
            equal,
            "{}\n{}\nbecame\n{}\nin\n{}",
            before.media,
            before.octets.escape_ascii(),
            after.octets.escape_ascii(),
            body.escape_ascii()
        );
        assert_eq!(before.fields.len(), after.fields.len());
        for (before, after) in before.fields.iter().zip(&after.fields) {
            // What was 8-bit is another text now; that has a test of its own.
            let known = if before.is_ascii() { before.len() } else { before.find(':').unwrap() };
            assert_eq!(before.get(..known), after.get(..known));
            assert!(before.len() == after.len() || !before.is_ascii());
        }
    }
}
