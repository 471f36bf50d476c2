//! From rewritten: the message goes out as a mailbox that may send, and still says who wrote it.
//!
//! In: the authors as they came, a template for the display name. Out: From, Reply-To and the fields that keep what was there.
//! Nothing else of the header section is touched, so that threads hold.

use smtp::Mailbox;

use super::Plan;
use super::author::{ORIGINAL_FROM, keep};
use super::draft::Draft;
use super::edits::FieldName;
use crate::addresses::{canonical, display};
use crate::authors::{Author, Authors};

/// How From is rewritten. A message that is from the new address already, and from no other, keeps its From and whatever it has
/// under `keep_in`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewriting {
    /// The new address.
    pub to: Mailbox,
    /// The display name.
    pub display: Template,
    /// The original authors become Reply-To, unless the message has one.
    pub reply_to: bool,
    /// Where the original From is kept; the original Sender goes under this name with `-Sender` behind it. Usually
    /// `X-Original-From`; `None`: nowhere.
    pub keep_in: Option<FieldName>,
}

/// A display name with placeholders: `{name}` (the address where there is no name), `{address}`, `{local}`, `{domain}` of
/// the original author, `{client}` of the client entry. Several authors are joined by `, `. The default is `{name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name,
    Address,
    Local,
    Domain,
    Client,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Not one of those that there are.
    #[error("there is no placeholder {{{0}}}: there are {{name}}, {{address}}, {{local}}, {{domain}} and {{client}}")]
    Placeholder(String),
    /// A brace without its other half.
    #[error("a brace has no other half")]
    Brace,
    /// Not a line of text, or over 200 octets, or empty.
    #[error("a display name is one line of 1 to 200 octets without control characters")]
    Text,
}

impl Template {
    /// Octets of a template.
    const OCTETS: usize = 200;

    /// See the type.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.trim().is_empty() || text.len() > Self::OCTETS || crate::encoding::clean(text) != text {
            return Err(TemplateError::Text);
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (placeholder, behind) = after.split_once('}').ok_or(TemplateError::Brace)?;
            parts.push(Part::text(before)?);
            parts.push(Part::placeholder(placeholder)?);
            rest = behind;
        }
        parts.push(Part::text(rest)?);
        Ok(Self { text: text.to_owned(), parts })
    }

    fn render(&self, authors: &[Author], client: &str) -> String {
        let each = |of: fn(&Author) -> &str| authors.iter().map(of).collect::<Vec<_>>().join(", ");
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Name => each(|author| author.readable_name().unwrap_or(author.mailbox.as_str())),
            Part::Address => each(|author| author.mailbox.as_str()),
            Part::Local => each(|author| author.mailbox.local_part()),
            Part::Domain => each(|author| author.mailbox.domain()),
            Part::Client => client.to_owned(),
        });
        parts.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Part {
    fn text(text: &str) -> Result<Self, TemplateError> {
        if text.contains('}') { Err(TemplateError::Brace) } else { Ok(Self::Text(text.to_owned())) }
    }
    fn placeholder(name: &str) -> Result<Self, TemplateError> {
        Ok(match name {
            "name" => Self::Name,
            "address" => Self::Address,
            "local" => Self::Local,
            "domain" => Self::Domain,
            "client" => Self::Client,
            other if other.contains('{') => return Err(TemplateError::Brace),
            other => return Err(TemplateError::Placeholder(other.to_owned())),
        })
    }
}

impl Default for Template {
    fn default() -> Self {
        Self { text: "{name}".to_owned(), parts: vec![Part::Name] }
    }
}
impl std::str::FromStr for Template {
    type Err = TemplateError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}
impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// `authors`: whom the message is from, none if nobody knows; `incoming`: what it said.
pub(super) fn apply(
    draft: &mut Draft<'_>,
    authors: &[Author],
    incoming: &Authors,
    rewriting: &Rewriting,
    plan: &Plan<'_>,
) {
    let to = canonical(&rewriting.to).unwrap_or_else(|| rewriting.to.clone());
    sender(draft, &to, rewriting);
    if let [author] = authors
        && author.mailbox.same_as(&to)
    {
        return;
    }
    if let Some(name) = &rewriting.keep_in {
        keep_from(draft, name.as_str(), incoming);
    }
    let name = rewriting.display.render(authors, plan.client);
    let value = if name.is_empty() { format!("<{to}>") } else { format!("{} <{to}>", display(&name)) };
    draft.put("From", &value);
    draft.note(format!("From was rewritten to {to}"));
    if rewriting.reply_to {
        reply_to(draft, authors, &to, plan);
    }
}

/// What the repair has kept already is not kept again.
fn keep_from(draft: &mut Draft<'_>, name: &str, incoming: &Authors) {
    if incoming.from_trouble.is_none() {
        keep(draft, "from", name);
    } else if !name.eq_ignore_ascii_case(ORIGINAL_FROM) {
        draft.remove(|entry| entry.name.eq_ignore_ascii_case(name));
    }
}

/// Another than the new author would be asked for a right of its own.
fn sender(draft: &mut Draft<'_>, to: &Mailbox, rewriting: &Rewriting) {
    let Some(entry) = draft.find("sender") else { return };
    let list = crate::authors::read_sender(&entry.value());
    if list.is_ok_and(|list| list.entries().all(|entry| entry.mailbox.same_as(to))) {
        return;
    }
    if let Some(name) = &rewriting.keep_in {
        keep(draft, "sender", &format!("{name}-Sender"));
    }
    draft.remove(|entry| entry.name == "sender");
    draft.note("Sender was removed, for From was rewritten");
}

fn reply_to(draft: &mut Draft<'_>, authors: &[Author], to: &Mailbox, plan: &Plan<'_>) {
    if draft.find("reply-to").is_some_and(|entry| !entry.value().is_empty()) {
        return;
    }
    let writable = |author: &&Author| plan.smtputf8 || author.mailbox.is_ascii();
    let others: Vec<&Author> = authors.iter().filter(|author| !author.mailbox.same_as(to)).collect();
    let list: Vec<String> = others.iter().copied().filter(writable).map(Author::written).collect();
    if list.len() < others.len() {
        draft.note("an author whose address is not ASCII was left out of Reply-To: the message goes without SMTPUTF8");
    }
    if !list.is_empty() {
        draft.put("Reply-To", &list.join(", "));
        draft.note("Reply-To was set to the original author");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_knows_its_placeholders() {
        let author =
            |name: Option<&str>, text: &str| Author { name: name.map(str::to_owned), mailbox: text.parse().unwrap() };
        let two = [author(Some("Anna"), "anna@a.test"), author(None, "b@b.test")];
        let table = [
            ("{name}", "Anna, b@b.test"),
            ("{local} at {domain} via {client}", "anna, b at a.test, b.test via press"),
            ("{address}", "anna@a.test, b@b.test"),
            ("Scanner", "Scanner"),
        ];
        for (text, expected) in table {
            assert_eq!(Template::parse(text).unwrap().render(&two, "press"), expected);
            assert_eq!(Template::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Template::parse("{name}"),
            Ok(Template::default()).map(|t| Template {
                parts: vec![Part::Text(String::new()), Part::Name, Part::Text(String::new())],
                ..t
            })
        );
        assert_eq!(Template::parse("{nmae}"), Err(TemplateError::Placeholder("nmae".to_owned())));
        for text in ["{", "}", "a}{name}", "{name", "{{name}}"] {
            assert_eq!(Template::parse(text), Err(TemplateError::Brace), "{text}");
        }
        for text in ["", " ", "a\nb", &"x".repeat(201)] {
            assert_eq!(Template::parse(text), Err(TemplateError::Text), "{text}");
        }
    }
}
