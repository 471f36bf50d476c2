//! A reader of whole messages: plain, slow, with the message in memory, and no code of ours.

/// What a message's header section says of its body.
#[derive(Clone, Debug, Default)]
pub(super) struct Top {
    pub(super) content_type: Option<Vec<u8>>,
    pub(super) encoding: Option<Vec<u8>>,
}

/// A part that holds no parts.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) media: String,
    pub(super) octets: Vec<u8>,
    /// The same where its line ends may become CRLF, and have.
    pub(super) with_crlf: Option<Vec<u8>>,
    /// The fields of the parts that it is in and of itself, but for its encoding, and without blanks.
    pub(super) fields: Vec<String>,
}

pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    pub(super) end: &'a [u8],
    pub(super) start: usize,
}

impl Line<'_> {
    fn after(&self) -> usize {
        self.start + self.text.len() + self.end.len()
    }
}

pub(super) fn lines(octets: &[u8]) -> Vec<Line<'_>> {
    let (mut lines, mut start) = (Vec::new(), 0);
    while start < octets.len() {
        let rest = &octets[start..];
        let length = rest.iter().position(|octet| b"\r\n".contains(octet)).unwrap_or(rest.len());
        let end = if rest[length..].starts_with(b"\r\n") { 2 } else { (rest.len() - length).min(1) };
        lines.push(Line { text: &rest[..length], end: &rest[length..length + end], start });
        start += length + end;
    }
    lines
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    lines(octets)
        .iter()
        .flat_map(|line| [line.text, if line.end.is_empty() { b"" } else { b"\r\n" }].concat())
        .collect()
}

/// Header section and body.
pub(super) fn split(message: &[u8], mailbox_line: bool) -> (&[u8], &[u8]) {
    let mut first = true;
    for line in lines(message) {
        if line.text.is_empty() {
            return message.split_at(line.after());
        }
        let continuation = !first && b" \t".contains(&line.text[0]);
        let mailbox_line =
            first && mailbox_line && (line.text.starts_with(b"From ") || line.text.starts_with(b">From "));
        if !continuation && !mailbox_line && name(line.text).is_none() {
            return message.split_at(line.start);
        }
        first = false;
    }
    message.split_at(message.len())
}

fn name(line: &[u8]) -> Option<String> {
    let colon = line.iter().position(|octet| *octet == b':').filter(|colon| *colon < 998)?;
    let name = String::from_utf8(line[..colon].to_vec()).ok()?;
    let name = name.trim_end_matches([' ', '\t']);
    (!name.is_empty() && name.chars().all(|it| it.is_ascii_graphic())).then(|| name.to_ascii_lowercase())
}

/// Names and values, unfolded.
fn fields(section: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines(section) {
        match (name(line.text), fields.last_mut()) {
            (_, Some((_, value))) if matches!(line.text.first(), Some(b' ' | b'\t')) => value.extend(line.text),
            (Some(name), _) => {
                let colon = line.text.iter().position(|octet| *octet == b':').unwrap();
                fields.push((name, line.text[colon + 1..].to_vec()));
            }
            _ => {}
        }
    }
    fields
}

pub(super) fn top(section: &[u8]) -> Top {
    let fields = fields(section);
    let first = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    Top { content_type: first("content-type"), encoding: first("content-transfer-encoding") }
}

fn shown(section: &[u8]) -> Vec<String> {
    let ours = ["content-transfer-encoding", "mime-version"];
    let squeezed = |octets: &[u8]| octets.iter().filter(|octet| !b" \t\0".contains(octet)).copied().collect::<Vec<_>>();
    let all = fields(section).into_iter().filter(|(name, _)| !ours.contains(&name.as_str()));
    let all = all.map(|(name, value)| format!("{name}:{}", String::from_utf8_lossy(&squeezed(&value))));
    all.filter(|field| !field.starts_with("content-type:text/plain;charset=")).collect()
}

/// `None`: a multipart has the boundary of one around it, and this reader takes the delimiters for those of the outer one.
pub(super) fn leaves(top: &Top, body: &[u8]) -> Option<Vec<Leaf>> {
    let mut leaves = Vec::new();
    read(top, body, &Context::default(), &mut leaves).then_some(leaves)
}

#[derive(Clone, Default)]
struct Context {
    depth: usize,
    signed: bool,
    fields: Vec<String>,
    boundaries: Vec<String>,
}

fn read(top: &Top, body: &[u8], context: &Context, leaves: &mut Vec<Leaf>) -> bool {
    let value = plain(top.content_type.as_deref().unwrap_or(b"text/plain"));
    let media = value.split(';').next().unwrap().trim().to_ascii_lowercase();
    let encoding = plain(top.encoding.as_deref().unwrap_or_default()).trim().to_ascii_lowercase();
    let inner = Context { depth: context.depth + 1, ..context.clone() };
    let boundary = boundary(&value);
    let composite = context.depth < 32;
    let identity = !matches!(encoding.as_str(), "quoted-printable" | "base64") && !encoding.starts_with("x-");
    match (media.as_str(), boundary) {
        (kind, Some(boundary))
            if kind.starts_with("multipart/") && composite && context.boundaries.contains(&boundary) =>
        {
            false
        }
        (kind, Some(boundary)) if kind.starts_with("multipart/") && composite && !parts(body, &boundary).is_empty() => {
            let boundaries = [inner.boundaries.clone(), vec![boundary.clone()]].concat();
            parts(body, &boundary).into_iter().enumerate().all(|(number, part)| {
                let (section, content) = split(part, false);
                let mut top = self::top(section);
                if kind == "multipart/digest" && top.content_type.is_none() {
                    top.content_type = Some(b"message/rfc822".to_vec());
                }
                let signed = inner.signed || (kind == "multipart/signed" && number == 0);
                let fields = [inner.fields.clone(), shown(section)].concat();
                let boundaries = boundaries.clone();
                read(&top, content, &Context { signed, fields, boundaries, ..inner }, leaves)
            })
        }
        ("message/rfc822" | "message/global", _) if composite && identity => {
            let (section, content) = split(body, true);
            let fields = [inner.fields.clone(), shown(section)].concat();
            read(&self::top(section), content, &Context { fields, ..inner }, leaves)
        }
        (kind, _) => {
            let may_change = kind.starts_with("multipart/")
                || encoding.starts_with("x-")
                || matches!(kind, "message/partial" | "message/external-body")
                || (kind.starts_with("message/") && identity)
                || (context.signed && (kind.starts_with("text/") || kind.starts_with("message/")));
            leaves.push(Leaf {
                octets: decoded(&encoding, body),
                with_crlf: may_change.then(|| decoded(&encoding, &with_crlf(body))),
                media,
                fields: context.fields.clone(),
            });
            true
        }
    }
}

/// Without comments.
fn plain(value: &[u8]) -> String {
    let (mut depth, mut quoted, mut text) = (0, false, String::new());
    for character in String::from_utf8_lossy(value).chars() {
        match character {
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            _ => {}
        }
        text.extend((depth == 0).then_some(character));
        depth -= i32::from(character == ')' && depth > 0);
    }
    text
}

/// Only as the tests write it.
fn boundary(value: &str) -> Option<String> {
    let rest = &value[value.to_ascii_lowercase().find("boundary=")? + "boundary=".len()..];
    let boundary = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap(),
        None => rest.split([';', ' ', '\r', '\n']).next().unwrap(),
    };
    Some(boundary.to_owned()).filter(|boundary| !boundary.is_empty())
}

fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let (mut parts, mut start) = (Vec::new(), None);
    let mut before = 0;
    for line in lines(body) {
        let text = String::from_utf8_lossy(line.text).trim_end().to_owned();
        let closing = text == format!("--{boundary}--");
        if line.text.len() <= 998 && (closing || text == format!("--{boundary}")) {
            if let Some(start) = start {
                parts.push(&body[start..before.max(start)]);
            }
            start = Some(line.after());
            if closing {
                return parts;
            }
        }
        before = line.start + line.text.len();
    }
    parts.extend(start.map(|start| &body[start..]));
    parts
}

fn decoded(encoding: &str, text: &[u8]) -> Vec<u8> {
    match encoding {
        "quoted-printable" => unquoted(text),
        "base64" => unbase64(text),
        _ => text.to_vec(),
    }
}

/// Line by line: blanks at its end go, `=` at its end joins it to the next.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    for line in lines(text) {
        let blanks = line.text.iter().rev().take_while(|octet| b" \t".contains(octet)).count();
        let mut rest = &line.text[..line.text.len() - blanks];
        let soft = rest.ends_with(b"=");
        rest = if soft { &rest[..rest.len() - 1] } else { rest };
        while let Some(first) = rest.first() {
            let code = rest.get(1..3).and_then(|code| std::str::from_utf8(code).ok());
            let code = code.filter(|code| code.chars().all(|it| it.is_ascii_hexdigit()));
            match code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| *first == b'=') {
                Some(octet) => {
                    octets.push(octet);
                    rest = &rest[3..];
                }
                None => {
                    octets.push(*first);
                    rest = &rest[1..];
                }
            }
        }
        octets.extend(if soft { b"" } else { line.end });
    }
    octets
}

/// The digits, whatever stands between them; padding is kept apart.
fn unbase64(text: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values = text.iter().filter_map(|octet| DIGITS.iter().position(|digit| digit == octet));
    let bits: Vec<bool> = values.flat_map(|value| (0..6).rev().map(move |bit| value >> bit & 1 == 1)).collect();
    bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |octet, bit| octet << 1 | u8::from(*bit))).collect()
}
