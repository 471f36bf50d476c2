//! mail-auth as the judge, with the records in memory: it never asks the DNS. The relay's tests ask it too.
//!
//! Records are pairs of name and value.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};

/// Answers to TXT questions by full name with its last dot.
struct Published(HashMap<Box<str>, Txt>);

impl Published {
    fn new(records: &[(String, String)]) -> Self {
        let entry = |(name, value): &(String, String)| {
            let answer = match DomainKey::parse(value.as_bytes()) {
                Ok(key) => Txt::DomainKey(Arc::new(key)),
                Err(error) => Txt::Error(error),
            };
            (format!("{name}.").into(), answer)
        };
        Self(records.iter().map(entry).collect())
    }
}

impl ResolverCache<Box<str>, Txt> for Published {
    fn get<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        Some(self.0.get(name).cloned().unwrap_or(Txt::Error(mail_auth::Error::ParseError)))
    }

    fn remove<Q: Hash + Eq + ?Sized>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// The verdict on each signature: `selector pass`, or `selector` and what is wrong.
pub(crate) fn verdicts(message: &[u8], records: &[(String, String)]) -> Vec<String> {
    let published = Published::new(records);
    let parsed = AuthenticatedMessage::parse(message).unwrap();
    let outputs = at_once(judge().verify_dkim(Parameters::new(&parsed).with_txt_cache(&published)));
    let verdict = |output: &mail_auth::DkimOutput<'_>| {
        let selector = output.signature().map_or("?", |signature| signature.s.as_str());
        match output.result() {
            DkimResult::Pass => format!("{selector} pass"),
            other => format!("{selector} {other}"),
        }
    };
    outputs.iter().map(verdict).collect()
}

/// The verdict on the ARC chain: `pass` with the number of sets, or what is wrong.
pub(crate) fn chain_verdict(message: &[u8], records: &[(String, String)]) -> String {
    let published = Published::new(records);
    let parsed = AuthenticatedMessage::parse(message).unwrap();
    let output = at_once(judge().verify_arc(Parameters::new(&parsed).with_txt_cache(&published)));
    match output.result() {
        DkimResult::Pass => format!("pass {}", output.sets().len()),
        other => other.to_string(),
    }
}

/// Never asked: [`Published`] knows everything.
fn judge() -> &'static MessageAuthenticator {
    static JUDGE: OnceLock<MessageAuthenticator> = OnceLock::new();
    JUDGE.get_or_init(|| MessageAuthenticator::new_quad9().unwrap())
}

/// The result of a future that has nothing to wait for.
fn at_once<F: Future>(future: F) -> F::Output {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the judge asks the network"),
    }
}
