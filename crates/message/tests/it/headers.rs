//! Header sections with named oddities, and what leaves for each: `corpus/headers/<oddity>.eml` and `.out`.
//!
//! A new oddity: put the `.eml` there, run the test, read what it says is missing.

use std::path::{Path, PathBuf};

use posthouse_message::{HeaderEdits, Outgoing, Plan, ScanLimits, Scanner, Section, authors, outgoing};
use smtp::Mailbox;

const ID: &str = "01ARZ3NDEKTSV";

fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/headers");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn sent(message: &[u8]) -> Outgoing {
    let (author, edits) = (Mailbox::parse("lane@contoso.test").unwrap(), HeaderEdits::default());
    let end = Section::end_of(message, ID, true).unwrap();
    let plan = Plan {
        id: ID,
        host: "relay.test",
        client: "press",
        date: jiff::Timestamp::from_second(1_795_213_927).unwrap(),
        author: Some(&author),
        rewriting: None,
        edits: &edits,
        smtputf8: false,
        encoding: None,
    };
    let section = message.get(..end).unwrap();
    outgoing(section, &authors(&Section::parse(section, ID)), &plan)
}

#[test]
fn each_oddity_leaves_as_written_down() {
    let corpus = corpus();
    assert!(corpus.len() >= 40, "the corpus is there");
    for (path, message) in corpus {
        let result = sent(&message);
        let expected = std::fs::read(path.with_extension("out")).unwrap_or_default();
        assert!(
            result.octets == expected,
            "{}:\n{}\nnotes: {:#?}",
            path.display(),
            String::from_utf8_lossy(&result.octets),
            result.notes
        );
        assert_eq!(result.notes.is_empty(), message.starts_with(&result.octets), "{}", path.display());
    }
}

#[test]
fn of_each_oddity_the_way_in_reads_the_author_that_leaves() {
    for (path, message) in corpus() {
        let result = sent(&message);
        let mut scanner = Scanner::new(ScanLimits::default(), "relay.test");
        scanner.push(&message).unwrap();
        let scanned = scanner.finish().0.authors;
        match scanned.from_trouble {
            None => assert_eq!(scanned.from, result.authors.from, "{}", path.display()),
            Some(_) => assert_eq!(result.authors.from[0].mailbox.as_str(), "lane@contoso.test", "{}", path.display()),
        }
        match (scanned.sender, scanned.from.len()) {
            (None, 2..) => {
                assert_eq!(result.authors.sender.unwrap().mailbox.as_str(), "lane@contoso.test", "{}", path.display())
            }
            (sender, _) => assert_eq!(sender, result.authors.sender, "{}", path.display()),
        }
        assert_eq!(sent(&result.octets).octets, result.octets, "{}", path.display());
    }
}
