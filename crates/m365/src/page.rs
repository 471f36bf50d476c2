//! The page of all refusals, in Markdown: one line a row.
//!
//! In: the built-in tables. Out: the text of `docs/refusals.md`. Never: a fact that is not in the tables.

use std::fmt::Write;

use crate::row::{About, Action, Breaker, Evidence, Excess, Row, Source, Where};
use crate::{Catalogue, OwnRefusal};

const HEAD: &str = "\
# Refusals

<!-- Generated from the tables in crates/m365/data by `cargo xtask generate`; changes belong there. -->

Every refusal that this relay knows: what it means, what the relay does by itself, whose move it is, what they do.
`posthouse explain` says the same of a code, of a pasted reply or of the id of a message, without network and without a running relay.

- An answer that no row knows goes by its first digit: a 4yz is tried again, a 5yz bounces; before there is a message (greeting, EHLO, STARTTLS,
  AUTH) no refusal bounces anything, it stops the path.
- A row with words applies only to replies that hold them: one code often has several meanings.
- **stops** a path, credential, tenant or mailbox: its mail waits, no attempt is counted, one alert is raised, one message is tried now and then.
- **waits for** connections, messages, recipients, external recipients: the budget is cut or awaited; nothing bounces.
- Trust: *doc* is Microsoft's documentation or blog, *field* public logs and issues, *hint* not confirmed.
";

/// The page of all refusals.
pub fn refusals_markdown() -> String {
    let catalogue = Catalogue::builtin();
    let mut page = HEAD.to_owned();
    add(&mut page, format_args!("\nState of knowledge: {}. {}\n", catalogue.as_of(), counted(&catalogue)));
    for chapter in Chapter::ALL {
        let mut rows: Vec<&Row> = catalogue.rows().iter().filter(|row| Chapter::of(row) == chapter).collect();
        rows.sort_by_cached_key(|row| sort_key(&row.code));
        add(&mut page, format_args!("\n## {}\n\n{}", chapter.title(), TABLE));
        rows.into_iter().for_each(|row| line(&mut page, row));
    }
    page.push_str(OWN_TABLE);
    catalogue.own().iter().for_each(|own| own_line(&mut page, own));
    page
}

fn counted(catalogue: &Catalogue) -> String {
    let of = |source| catalogue.rows().iter().filter(|row| row.source == source).count();
    format!(
        "{} rows of SMTP, {} of Microsoft Entra, {} of Microsoft Graph, {} of this relay's own.",
        of(Source::Smtp),
        of(Source::Entra),
        of(Source::Graph),
        catalogue.own().len()
    )
}

const TABLE: &str = "\
| code | reply | where | words | meaning | the relay | whose move | remedy | source |
|---|---|---|---|---|---|---|---|---|
";

const OWN_TABLE: &str = "
## What this relay itself says to devices

Nothing was accepted: the message is still with the device.

| code | reply | words | meaning | whose move | remedy | keys |
|---|---|---|---|---|---|---|
";

/// How the rows are grouped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chapter {
    Stops,
    TooMuch,
    About,
    Again,
    Final,
    Entra,
    Graph,
}

impl Chapter {
    const ALL: [Self; 7] =
        [Self::Stops, Self::TooMuch, Self::About, Self::Again, Self::Final, Self::Entra, Self::Graph];

    fn of(row: &Row) -> Self {
        match row.source {
            Source::Entra => Self::Entra,
            Source::Graph => Self::Graph,
            Source::Smtp if row.about.is_some() => Self::About,
            Source::Smtp if row.excess().is_some() => Self::TooMuch,
            Source::Smtp if row.breaker().is_some() => Self::Stops,
            Source::Smtp if matches!(row.action, Action::Bounce | Action::SwitchRoute) => Self::Final,
            Source::Smtp => Self::Again,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Stops => "SMTP: what stops a path, a credential, a tenant or a mailbox",
            Self::TooMuch => "SMTP: too much, too fast",
            Self::About => "SMTP: about one sender or one recipient",
            Self::Again => "SMTP: tried again, or in smaller pieces",
            Self::Final => "SMTP: final for the recipient or the message",
            Self::Entra => "Microsoft Entra: no access token",
            Self::Graph => "Microsoft Graph",
        }
    }
}

/// Numbers by their value: `5.2.2` before `5.2.14`.
fn sort_key(code: &str) -> Vec<(u64, String)> {
    let parts = code.split(['.', '-']);
    parts.map(|part| part.parse().map_or((u64::MAX, part.to_owned()), |number| (number, String::new()))).collect()
}

fn line(page: &mut String, row: &Row) {
    let reference = match &row.reference {
        None => String::new(),
        Some(page) => match &page.address {
            Some(address) => format!("[{}]({address}), ", cell(&page.title)),
            None => format!("{}, ", cell(&page.title)),
        },
    };
    let fix = match &row.note {
        Some(note) => format!("{} {note}", row.fix),
        None => row.fix.clone(),
    };
    add(
        page,
        format_args!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {reference}{} |\n",
            row.code,
            row.reply.as_deref().unwrap_or_default(),
            place(row),
            cell(row.text.as_deref().unwrap_or_default()),
            cell(&row.meaning),
            row.in_short(),
            row.whose_move,
            cell(&fix),
            trust(row.evidence),
        ),
    );
}

fn own_line(page: &mut String, own: &OwnRefusal) {
    let keys: Vec<String> = own.keys.iter().map(|key| format!("`{key}`")).collect();
    add(
        page,
        format_args!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            own.code,
            own.reply,
            cell(&own.text),
            cell(&own.meaning),
            own.whose_move,
            cell(&own.fix),
            keys.join(", ")
        ),
    );
}

/// Nothing in it ends the cell, or looks like a tag.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    let mut code = false;
    for letter in text.chars() {
        code ^= letter == '`';
        match letter {
            '|' => cell.push_str("\\|"),
            '<' if !code => cell.push_str("\\<"),
            '*' | '_' | '[' | ']' if !code => {
                cell.push('\\');
                cell.push(letter);
            }
            _ => cell.push(letter),
        }
    }
    cell
}

fn place(row: &Row) -> &'static str {
    match (row.source, row.where_) {
        (Source::Graph | Source::Entra, _) => "HTTPS",
        (Source::Smtp, Where::Submission) => "submission",
        (Source::Smtp, Where::Mx) => "MX host",
        (Source::Smtp, Where::Connector) => "connector",
        (Source::Smtp, Where::Direct) => "direct",
        (Source::Smtp, Where::Hve) => "HVE",
        (Source::Smtp, Where::Delivery) => "delivery",
        (Source::Smtp, Where::Ndr) => "report",
        (Source::Smtp, Where::Any) => "any",
    }
}

fn trust(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Doc => "doc",
        Evidence::Field => "field",
        Evidence::Recall => "hint",
    }
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing into a String does not fail");
}

impl Row {
    /// What the relay does, in a few words.
    pub fn in_short(&self) -> String {
        if let Some(about) = self.about {
            return match about {
                About::Sender => "sent as the mailbox, or held",
                About::Recipient => "mail for this recipient waits",
            }
            .to_owned();
        }
        if let Some(excess) = self.excess() {
            return format!("waits for {}", budget(excess));
        }
        match (self.action, self.breaker()) {
            (Action::RefreshToken, Some(breaker)) => format!("fresh token; then **stops** the {}", name(breaker)),
            (Action::SwitchRoute, Some(breaker)) => format!("next path; else **stops** the {}", name(breaker)),
            (_, Some(breaker)) => format!("**stops** the {}", name(breaker)),
            (Action::Bounce, None) => "bounces".to_owned(),
            (Action::SwitchRoute, None) => "next path; else bounces".to_owned(),
            (Action::Split, None) => "smaller transactions".to_owned(),
            (_, None) if self.source == Source::Entra => "asks again; mail waits".to_owned(),
            (_, None) => "tries again".to_owned(),
        }
    }
}

fn name(breaker: Breaker) -> &'static str {
    match breaker {
        Breaker::Path => "path",
        Breaker::Credential => "credential",
        Breaker::Tenant => "tenant",
        Breaker::Mailbox => "mailbox",
    }
}

fn budget(excess: Excess) -> &'static str {
    match excess {
        Excess::Connections => "connections",
        Excess::Messages => "messages a minute",
        Excess::Recipients => "recipients a day",
        Excess::External => "external recipients a day",
        Excess::ExternalUnderProviderDomain => "external recipients a day of onmicrosoft.com",
        Excess::Unknown => "connections and messages",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_line_of_nine_cells_for_every_row() {
        let page = refusals_markdown();
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
        let catalogue = Catalogue::builtin();
        // Each table has a line of titles.
        assert_eq!(lines.len(), catalogue.rows().len() + catalogue.own().len() + Chapter::ALL.len() + 1);
        for line in lines {
            let cells = line.replace("\\|", "").matches('|').count() - 1;
            assert!(matches!(cells, 9 | 7), "{line}");
        }
    }

    #[test]
    fn codes_are_sorted_as_numbers_and_texts_cannot_leave_their_cell() {
        assert!(sort_key("5.2.2") < sort_key("5.2.14"));
        assert!(sort_key("4.7.700") < sort_key("5.0.0"));
        assert_eq!(cell("a|b <c> `<d>|` [e]"), "a\\|b \\<c> `<d>\\|` \\[e\\]");
    }
}
