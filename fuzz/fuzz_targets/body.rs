//! Any body, cut anywhere: it is re-encoded to the same octets, a next hop will take them, and a second time nothing changes.
//!
//! Input: a byte of choices, one of where to cut, the Content-Type, a NUL, the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::mime::{BodyPlan, Needs, Reencoder, Survey, TopPart};

fn survey(top: TopPart, body: &[u8], piece: usize, seven_bit: bool) -> BodyPlan {
    let mut survey = Survey::new(top, Needs { seven_bit });
    body.chunks(piece).for_each(|piece| survey.push(piece));
    survey.finish()
}

fn reencoded(plan: &BodyPlan, body: &[u8], piece: usize) -> Vec<u8> {
    let (mut reencoder, mut out) = (Reencoder::new(plan), Vec::new());
    body.chunks(piece).for_each(|piece| reencoder.push(piece, &mut out));
    reencoder.finish(&mut out);
    out
}

fn fits(body: &[u8], seven_bit: bool) -> bool {
    let lines = || body.split(|octet| *octet == b'\n');
    let whole = lines().count();
    let ends = lines().take(whole - 1).all(|line| line.ends_with(b"\r"));
    let crs = body.iter().filter(|octet| **octet == b'\r').count();
    let long = lines().any(|line| line.strip_suffix(b"\r").unwrap_or(line).len() > 998);
    ends && crs == whole - 1 && !long && !body.contains(&0) && (body.is_ascii() || !seven_bit)
}

fuzz_target!(|data: &[u8]| {
    let Some(([choices, piece], rest)) = data.split_first_chunk::<2>() else { return };
    let (content_type, body) = rest.split_at(rest.iter().position(|octet| *octet == 0).unwrap_or_default());
    let (seven_bit, piece) = (choices & 1 == 1, usize::from(*piece) + 1);
    let encodings: [Option<&[u8]>; 4] = [None, Some(b"8bit"), Some(b"quoted-printable"), Some(b"base64")];
    let top = TopPart {
        content_type: (choices & 2 == 2).then_some(content_type),
        content_transfer_encoding: encodings[usize::from(choices >> 2 & 3)],
    };
    let plan = survey(top, body, usize::MAX, seven_bit);
    assert_eq!(format!("{plan:?}"), format!("{:?}", survey(top, body, piece, seven_bit)), "the plan depends on the cuts");
    let out = reencoded(&plan, body, usize::MAX);
    assert!(out == reencoded(&plan, body, piece), "the octets depend on the cuts");
    // Of another body than the one surveyed: it says something, and does not panic.
    reencoded(&plan, &out, piece);
    if plan.refusal().is_some() {
        return;
    }
    assert!(fits(&out, seven_bit), "{}", out.escape_ascii());
    assert_eq!(plan.is_identity(), out == body);
    assert_eq!(plan.is_identity(), fits(body, seven_bit));
    let encoding = plan.top().map(|new| new.encoding.to_string());
    let charset = plan.top().and_then(|new| new.charset).map(|charset| format!("text/plain; charset={charset}"));
    let top = TopPart {
        content_type: top.content_type.or(charset.as_ref().map(String::as_bytes)),
        content_transfer_encoding: encoding.as_ref().map(String::as_bytes).or(top.content_transfer_encoding),
    };
    let again = survey(top, &out, piece, seven_bit);
    assert!(again.is_identity(), "{:?} {:?} in {}", again.refusal(), again.notes(), out.escape_ascii());
});
