//! The reference page of all keys, from the tables that read them.

use std::fmt::Write;

use inbound::{Condition, Criteria, Criterion};

use crate::read::{Key, Sort, Table};
use crate::secrets::Source;
use crate::written::{Client, File};

const HEAD: &str = "\
# The configuration file

<!-- Generated from the code by `cargo xtask generate`; changes belong there. -->

One file in [TOML](https://toml.io), `/etc/posthouse/posthouse.toml` unless `--config` names another. `posthouse check` reads it and
says all that is wrong with it. Unknown keys are errors. Paths are relative to the file.

Ten lines are a working relay:

```toml
[[listener]]
address = \"0.0.0.0:25\"

[[client]]
name = \"printers\"
networks = [\"10.20.0.0/16\"]
senders = [\"*@contoso.com\"]

[[tenant]]
name = \"contoso\"
id = \"11111111-2222-3333-4444-555555555555\"
domains = [\"contoso.com\"]
credential = { client_id = \"66666666-7777-8888-9999-000000000000\", client_secret = { file = \"secret\" } }
path = [{ kind = \"submission\", mailbox = \"relay@contoso.com\" }]
```

**Durations** are numbers with units: `ms`, `s`, `m`, `h`, `d`, `w`, also several (`\"1h 30m\"`). **Sizes** are numbers with units (`B`, `KB`,
`MB`, `GB`, `TB` in thousands, `KiB`, `MiB`, `GiB`, `TiB` in 1,024s), or plain numbers of octets. **Secrets** are `{ file = \"…\" }`,
`{ env = \"…\" }`, `{ credential = \"…\" }` or, if you insist, the secret itself in quotes; they are read each time they are needed, so a
replaced file is taken up without a restart.
";

/// The reference page of all keys, in Markdown.
pub fn reference_markdown() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, &File::TABLE, "Keys before the first table");
    subsections(&mut page, &File::TABLE);
    section(&mut page, &Source::TABLE, "Secrets");
    page
}

fn subsections(page: &mut String, table: &Table) {
    for key in table.keys {
        if let Some(inner) = table_of((key.sort)()) {
            section(page, inner, &format!("`{}`", inner.heading));
            subsections(page, inner);
        }
    }
}

/// The table that a key holds, once or many times.
fn table_of(sort: Sort) -> Option<&'static Table> {
    match sort {
        Sort::Table(table) => Some(table),
        Sort::List(inner) => table_of(*inner),
        Sort::Value(_) => None,
    }
}

fn section(page: &mut String, table: &Table, title: &str) {
    add(page, format_args!("\n## {title}\n\n{}\n\n", words(table.doc)));
    for key in table.keys {
        add(page, format_args!("- **`{}`**: {}. {}\n", key.name, about(key), words(key.doc)));
        if let Some(example) = key.example {
            add(page, format_args!("  Example: `{} = {example}`\n", key.name));
        }
    }
    if table.heading == Client::TABLE.heading {
        add(page, format_args!("\n{}", truth_table()));
    }
    if !table.planned.is_empty() {
        let planned: Vec<_> = table.planned.iter().map(|name| format!("`{name}`")).collect();
        add(page, format_args!("\nFor later versions, and errors in this one: {}.\n", planned.join(", ")));
    }
}

/// Conditions that the truth table shows: without `match`, and some with it.
const CONDITIONS: [&str; 4] =
    ["network or user", "network and user", "network and (user or certificate)", "(network or user) and listener"];

/// What `match` comes to, row by row. Each row is asked of the code that asks for every session.
fn truth_table() -> String {
    let mut page = format!(
        "Who is let in by which `match` (\"yes\": the criterion holds, or the client is let in). The first and the last column are \
         also what holds without `match` where just these criteria are given.\n\n| network | user | certificate | listener | {} |\n\
         |---|---|---|---|{}\n",
        CONDITIONS.map(|text| format!("`{text}`")).join(" | "),
        "---|".repeat(CONDITIONS.len())
    );
    let shown = [Criterion::Network, Criterion::User, Criterion::Certificate, Criterion::Listener];
    let conditions = CONDITIONS.map(|text| text.parse::<Condition>().expect("the table's conditions are conditions"));
    for row in 0..1 << shown.len() {
        let held: Criteria = shown
            .into_iter()
            .enumerate()
            .filter(|(at, _)| row >> at & 1 == 1)
            .map(|(_, criterion)| criterion)
            .collect();
        let word = |holds| if holds { "yes" } else { "–" };
        let cells = shown.iter().map(|criterion| word(held.has(*criterion)));
        let cells: Vec<_> = cells.chain(conditions.iter().map(|condition| word(condition.holds(held)))).collect();
        add(&mut page, format_args!("| {} |\n", cells.join(" | ")));
    }
    page
}

fn about(key: &Key) -> String {
    let sort = sort_words((key.sort)());
    match (key.required, key.otherwise, key.default) {
        (true, ..) => format!("{sort}; required"),
        (_, Some(otherwise), _) => format!("{sort}; default: {otherwise}"),
        (_, None, Some("{}" | "[]") | None) => sort,
        (_, None, Some(default)) => format!("{sort}; default `{default}`"),
    }
}

fn sort_words(sort: Sort) -> String {
    match sort {
        Sort::Value(words) => words,
        Sort::Table(table) => format!("table, see `{}`", table.heading),
        Sort::List(inner) => match *inner {
            Sort::Table(table) => format!("any number of tables, see `{}`", table.heading),
            inner => format!("list: {}", sort_words(inner)),
        },
    }
}

/// Doc comments as one line.
fn words(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing into a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(table: &'static Table) -> Vec<&'static Table> {
        let inner = table.keys.iter().filter_map(|key| table_of((key.sort)())).flat_map(tables);
        std::iter::once(table).chain(inner).collect()
    }

    #[test]
    fn the_page_has_every_key_with_words_and_a_full_stop() {
        let page = reference_markdown();
        for table in tables(&File::TABLE) {
            assert!(!table.doc.is_empty(), "{}", table.heading);
            for key in table.keys {
                assert!(page.contains(&format!("- **`{}`**: ", key.name)), "{}", key.name);
                assert!(words(key.doc).ends_with('.'), "{} {}", table.heading, key.name);
            }
        }
    }

    #[test]
    fn every_example_in_the_page_can_be_read() {
        for table in tables(&File::TABLE) {
            for key in table.keys {
                for text in key.example.iter().chain(key.default.iter()) {
                    assert!(toml::de::DeValue::parse(text).is_ok(), "{} {}: {text}", table.heading, key.name);
                }
            }
        }
    }
}
