//! The header section as a signature sees it: which fields are signed, and their relaxed form (RFC 6376 §3.4.2).
//!
//! In: a header section. Out: the names for `h=`, and the octets that are hashed for them.

/// How often a name stands in `h=`. Once more than there are such fields ("oversigned") means: whoever adds another one
/// breaks the signature (RFC 6376 §8.15).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// Once more than present, even where there is none: nobody honest adds one on the way.
    Always,
    /// Once more, if there is one at all: a next hop may add one that is missing (RFC 6409 §8).
    Guarded,
    /// As present: some hops add one.
    Present,
}

use Named::{Always, Guarded, Present};

/// What is signed, in the order of `h=` (RFC 6376 §5.4.1). Trace fields are not: every hop adds to them.
const SIGNED: &[(&str, Named)] = &[
    ("From", Always),
    ("Sender", Guarded),
    ("Reply-To", Always),
    ("Subject", Always),
    ("Date", Guarded),
    ("Message-ID", Guarded),
    ("To", Always),
    ("Cc", Always),
    ("MIME-Version", Guarded),
    ("Content-Type", Guarded),
    ("Content-Transfer-Encoding", Guarded),
    ("In-Reply-To", Present),
    ("References", Present),
    ("Auto-Submitted", Present),
    ("List-Id", Present),
    ("List-Help", Present),
    ("List-Owner", Present),
    ("List-Post", Present),
    ("List-Archive", Present),
    ("List-Subscribe", Present),
    ("List-Unsubscribe", Present),
    // RFC 8058 §4: must be signed to count.
    ("List-Unsubscribe-Post", Present),
];

/// A name stands in `h=` at most so often: `h=` must not grow with what somebody sends.
const MOST_OF_A_NAME: usize = 20;

/// A field as it stands in the section.
struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

/// What is signed of a header section.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// For `h=`.
    pub(crate) names: Vec<&'static str>,
    /// The fields that `names` stands for, relaxed, each with its CRLF.
    pub(crate) canonical: Vec<u8>,
}

/// For a DKIM-Signature. `None`: there is no From, and what has none cannot be signed (RFC 6376 §5.4).
pub(crate) fn signed(section: &[u8]) -> Option<Signed> {
    covered(section, SIGNED)
}

/// The same for an ARC-Message-Signature: DKIM-Signature fields count as well (RFC 8617 §4.1.2).
pub(crate) fn sealed(section: &[u8]) -> Option<Signed> {
    covered(section, &[SIGNED, &[("DKIM-Signature", Present)]].concat())
}

/// Whether somebody has sealed it before.
pub(crate) fn is_sealed(section: &[u8]) -> bool {
    let names = ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"];
    fields(section).iter().any(|field| names.iter().any(|name| field.is(name)))
}

fn covered(section: &[u8], which: &[(&'static str, Named)]) -> Option<Signed> {
    let fields = fields(section);
    fields.iter().find(|field| field.is("From"))?;
    let mut signed = Signed { names: Vec::new(), canonical: Vec::new() };
    for (name, named) in which {
        signed.add(&fields, name, *named);
    }
    Some(signed)
}

impl Signed {
    fn add(&mut self, fields: &[Field<'_>], name: &'static str, named: Named) {
        let present = fields.iter().filter(|field| field.is(name)).count();
        let once_more = named == Always || (named == Guarded && present > 0);
        let times = (present + usize::from(once_more)).min(MOST_OF_A_NAME);
        self.names.extend(std::iter::repeat_n(name, times));
        // The first mention is the lowest field (RFC 6376 §5.4.2).
        for field in fields.iter().rev().filter(|field| field.is(name)).take(times) {
            relaxed(field.name, field.value, &mut self.canonical);
        }
    }
}

impl Field<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields up to an empty line or the end. Lines that belong to no field are passed over, as verifiers do.
fn fields(section: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    let mut rest = section;
    while !rest.is_empty() && !rest.starts_with(b"\r\n") {
        let (field, after) = rest.split_at(field_end(rest));
        rest = after;
        if let Some(colon) = field.iter().position(|octet| *octet == b':') {
            let (name, value) = field.split_at(colon);
            fields.push(Field { name: name.trim_ascii_end(), value: value.strip_prefix(b":").unwrap_or(value) });
        }
    }
    fields
}

/// Behind the CRLF of the first line that is not continued.
fn field_end(section: &[u8]) -> usize {
    let ends = |at: &[u8]| at.starts_with(b"\r\n") && !matches!(at, [_, _, b' ' | b'\t', ..]);
    let line_end = section.windows(3).position(ends).map(|at| at + 2);
    line_end.unwrap_or(section.len())
}

/// All fields of a section, as they stand.
pub(crate) fn relaxed_fields(section: &[u8], out: &mut Vec<u8>) {
    fields(section).iter().for_each(|field| relaxed(field.name, field.value, out));
}

/// Name in lower case, value unfolded, white space within it one space, none around it; with CRLF.
pub(crate) fn relaxed(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let start = out.len();
    let mut white = false;
    let mut rest = value;
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'\r', [b'\n', behind @ ..]) => {
                rest = behind;
                continue;
            }
            (b' ' | b'\t', _) => white = true,
            (octet, _) => {
                if std::mem::take(&mut white) && out.len() > start {
                    out.push(b' ');
                }
                out.push(*octet);
            }
        }
        rest = after;
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(signed: &Signed) -> (String, &str) {
        (signed.names.join(":"), std::str::from_utf8(&signed.canonical).unwrap())
    }

    #[test]
    fn fields_are_relaxed() {
        let check = |field: &str, expected: &str| {
            let mut out = Vec::new();
            let fields = fields(field.as_bytes());
            relaxed(fields[0].name, fields[0].value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{field:?}");
        };
        // RFC 6376 §3.4.5
        check("A: X\r\n", "a:X\r\n");
        check("B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n");
        check("Subject:\r\n", "subject:\r\n");
        check("Subject: \t \r\n \r\n", "subject:\r\n");
        check("SUBJECT:a\r\n b\r\n\tc", "subject:a b c\r\n");
        check("Subject:  a:b  \r\n", "subject:a:b\r\n");
        check("Subject: a\rb\nc\r\n", "subject:a\rb\nc\r\n");
        check("Subject: grüße\r\n", "subject:grüße\r\n");
    }

    #[test]
    fn what_must_not_be_added_is_named_once_more() {
        let section = b"Received: x\r\nTo: b\r\nFrom: a\r\nDate: d\r\nReferences: r\r\nX-Other: y\r\n";
        let signed = signed(section).unwrap();
        let (names, canonical) = text(&signed);
        assert_eq!(names, "From:From:Reply-To:Subject:Date:Date:To:To:Cc:References");
        assert_eq!(canonical, "from:a\r\ndate:d\r\nto:b\r\nreferences:r\r\n");
    }

    #[test]
    fn fields_of_one_name_are_signed_from_the_lowest() {
        let signed = signed(b"From: a\r\nreferences: 1\r\nReferences: 2\r\n").unwrap();
        let (names, canonical) = text(&signed);
        assert!(names.ends_with(":References:References"), "{names}");
        assert!(canonical.ends_with("references:2\r\nreferences:1\r\n"), "{canonical}");
    }

    #[test]
    fn the_list_of_names_does_not_grow_with_the_message() {
        let section = format!("From: a\r\n{}", "To: b\r\n".repeat(5000));
        let signed = signed(section.as_bytes()).unwrap();
        assert_eq!(signed.names.iter().filter(|name| **name == "To").count(), MOST_OF_A_NAME);
        assert_eq!(text(&signed).1.matches("to:").count(), MOST_OF_A_NAME);
    }

    #[test]
    fn what_follows_an_empty_line_is_no_field() {
        let with = signed(b"From: a\r\n\r\nTo: b\r\n").unwrap();
        assert_eq!(with, signed(b"From: a\r\n").unwrap());
        assert_eq!(signed(b"\r\nFrom: a\r\n"), None);
    }

    #[test]
    fn without_from_there_is_nothing_to_sign() {
        for section in ["", "To: b\r\n", "X-From: a\r\n", "From\r\n", "To: b\r\n From: a\r\n"] {
            assert_eq!(signed(section.as_bytes()), None, "{section:?}");
        }
    }
}
