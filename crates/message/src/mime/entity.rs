//! An entity (RFC 2045 §2.4: a message or a body part) and what may be done with its content.
//!
//! In: its Content-Type and Content-Transfer-Encoding, and where it stands. Out: which kind it is, and what to call it.

use super::media::{ContentType, Declared};

/// What an entity's content is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Parts between lines made of the boundary.
    Multipart {
        boundary: Vec<u8>,
        /// Its parts are messages unless they say otherwise.
        digest: bool,
        /// Its first part is signed.
        signed: bool,
    },
    /// A message: a header section and a body.
    Message,
    /// Octets; `text`: lines that people may read.
    Leaf { text: bool },
    /// Lines that may not be encoded (RFC 2045 §6.4), or whose encoding we do not know.
    Lines,
    /// Beyond our limits.
    Opaque,
}

impl Kind {
    /// Other entities may be in it.
    pub(super) fn is_level(&self) -> bool {
        matches!(self, Self::Multipart { .. } | Self::Message)
    }

    fn of(content: &ContentType, declared: Declared, seven_bit: bool) -> Self {
        let media = content.media.as_str();
        match content.top() {
            "multipart" => match &content.boundary {
                None => Self::Lines,
                Some(boundary) => Self::Multipart {
                    boundary: boundary.clone(),
                    digest: media == "multipart/digest",
                    signed: media == "multipart/signed",
                },
            },
            _ if declared == Declared::Foreign => Self::Lines,
            // RFC 6532 §3.7: it may be encoded, and must be if its header section is 8-bit.
            "message" if media == "message/global" && seven_bit => Self::Leaf { text: true },
            "message" if declared.is_identity() => match media {
                "message/rfc822" | "message/global" => Self::Message,
                "message/partial" | "message/external-body" => Self::Lines,
                _ => Self::Leaf { text: true },
            },
            top => Self::Leaf { text: matches!(top, "text" | "message") },
        }
    }
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub(super) struct Entity {
    /// In the order in which they begin; 0 is the message.
    pub(super) ordinal: u32,
    /// `2.1` as IMAP counts (RFC 9051 §6.4.5.1); empty for the body as a whole.
    path: String,
    media: String,
    pub(super) kind: Kind,
    pub(super) declared: Declared,
    /// It has a Content-Type.
    pub(super) typed: bool,
    /// Its header section is that of a message.
    pub(super) is_message: bool,
    /// The outermost multipart/signed whose signature is over it.
    pub(super) signed_in: Option<u32>,
}

/// Where an entity stands.
pub(super) struct Child<'a> {
    pub(super) of: &'a Entity,
    /// From 1.
    pub(super) number: u32,
}

impl Entity {
    /// `place`: none of the message itself.
    pub(super) fn new(
        ordinal: u32,
        place: Option<Child>,
        content_type: Option<&[u8]>,
        encoding: Option<&[u8]>,
        seven_bit: bool,
    ) -> Self {
        let parent = place.as_ref().map(|place| &place.of.kind);
        let content = match (content_type, parent) {
            (Some(value), _) => ContentType::parse(value),
            (None, Some(Kind::Multipart { digest: true, .. })) => ContentType::new("message/rfc822"),
            (None, _) => ContentType::new("text/plain"),
        };
        let declared = encoding.map_or(Declared::SevenBit, Declared::parse);
        let kind = Kind::of(&content, declared, seven_bit);
        Self {
            ordinal,
            path: place.as_ref().map_or_else(String::new, |place| path(place, &kind)),
            media: content.media,
            kind,
            declared,
            typed: content_type.is_some(),
            is_message: matches!(parent, None | Some(Kind::Message)),
            signed_in: place.as_ref().and_then(signed_in),
        }
    }

    /// A status notification, a receipt: lines of fields, which must not be encoded (RFC 2045 §6.4, RFC 3464 §2.1) and which
    /// many readers do not decode.
    pub(super) fn is_of_fields(&self) -> bool {
        self.media.starts_with("message/") && self.declared.is_identity()
    }

    /// `part 2.1 (text/plain)`
    pub(super) fn name(&self) -> String {
        match self.path.as_str() {
            "" => format!("the body ({})", self.media),
            path => format!("part {path} ({})", self.media),
        }
    }
}

/// A multipart that is all of a message is not counted as a part of it.
fn path(place: &Child, kind: &Kind) -> String {
    match (place.of.path.as_str(), &place.of.kind, kind) {
        (above, Kind::Message, Kind::Multipart { .. }) => above.to_owned(),
        ("", _, _) => place.number.to_string(),
        (above, _, _) => format!("{above}.{}", place.number),
    }
}

fn signed_in(place: &Child) -> Option<u32> {
    let first_of_signed = place.number == 1 && matches!(place.of.kind, Kind::Multipart { signed: true, .. });
    place.of.signed_in.or(first_of_signed.then_some(place.of.ordinal))
}
