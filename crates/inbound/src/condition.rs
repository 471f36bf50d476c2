//! Which of a client entry's criteria must hold together: `network and (user or certificate)`.
//!
//! In: the text of `match`, or the criteria that an entry gives. Out: a [`Condition`], asked with the criteria that hold for a
//! session. There is no "not": what proves more never lets in less, so the worst case of a stranger is one question.

use std::str::FromStr;

/// What a client can be known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Criterion {
    /// The address that it connects from.
    Network,
    /// The user that AUTH proved.
    User,
    /// The certificate that its TLS handshake proved.
    Certificate,
    /// The name that it gives in EHLO or HELO: no proof of anything.
    Helo,
    /// The listener that it connects to: no proof either.
    Listener,
}

impl Criterion {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Network, Self::User, Self::Certificate, Self::Helo, Self::Listener];
    /// Those that say who somebody is; the others can be chosen freely by anybody.
    pub const IDENTITY: [Self; 3] = [Self::Network, Self::User, Self::Certificate];

    /// As in `match`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::User => "user",
            Self::Certificate => "certificate",
            Self::Helo => "helo",
            Self::Listener => "listener",
        }
    }

    /// The rows of a truth table in which it holds: bit `n` is the row whose criteria are the set `n`.
    fn rows(self) -> u32 {
        (0..32).filter(|row| Criteria(*row).has(self)).fold(0, |rows, row| rows | 1 << row)
    }
}

/// A set of criteria.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Criteria(u8);

impl Criteria {
    /// Whether this one is in it.
    pub fn has(self, criterion: Criterion) -> bool {
        self.0 & 1 << criterion as u8 != 0
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Criterion> {
        Criterion::ALL.into_iter().filter(move |criterion| self.has(*criterion))
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Criterion> for Criteria {
    fn from_iter<T: IntoIterator<Item = Criterion>>(criteria: T) -> Self {
        Self(criteria.into_iter().fold(0, |set, criterion| set | 1 << criterion as u8))
    }
}

/// See the head of this file. Kept as its truth table: five criteria make 32 rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    text: String,
    mentions: Criteria,
    rows: u32,
}

impl Condition {
    /// What holds without `match`: one of the identity criteria that are given, and each of the others that are given. With no
    /// identity criterion nothing lets in.
    pub fn standard(given: Criteria) -> Self {
        let identity: Vec<_> = Criterion::IDENTITY.into_iter().filter(|criterion| given.has(*criterion)).collect();
        let rest = [Criterion::Helo, Criterion::Listener].into_iter().filter(|criterion| given.has(*criterion));
        let words: Vec<_> = identity.iter().map(|criterion| criterion.word()).collect();
        let one = words.join(" or ");
        let mut text = if given.len() > words.len() && words.len() > 1 { format!("({one})") } else { one };
        let mut rows = identity.iter().fold(0, |rows, criterion| rows | criterion.rows());
        for criterion in rest {
            text.push_str(" and ");
            text.push_str(criterion.word());
            rows &= criterion.rows();
        }
        Self { text, mentions: given, rows }
    }

    /// Whether a session lets in for which these hold.
    pub fn holds(&self, criteria: Criteria) -> bool {
        self.rows & 1 << criteria.0 != 0
    }

    /// The criteria that stand in it.
    pub fn mentions(&self) -> Criteria {
        self.mentions
    }
}

/// As written.
impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// A word that is none of the five, nor `and` or `or`.
    #[error("`{0}` is none of network, user, certificate, helo and listener, nor `and`, `or`")]
    Word(String),
    /// It ends where a criterion should stand, or goes on where it should end.
    #[error("it ends too early: a criterion is missing")]
    Early,
    /// Something stands where a criterion should.
    #[error("`{0}` stands where a criterion should")]
    Misplaced(String),
    /// A parenthesis without its other half.
    #[error("a parenthesis is without its other half")]
    Parenthesis,
    /// Longer or deeper than any sensible one.
    #[error("it is longer than 200 characters")]
    Long,
}

/// Octets; it also bounds how deep parentheses can be.
const LONGEST: usize = 200;

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LONGEST {
            return Err(ConditionError::Long);
        }
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut reader = Reader { words: words.into_iter().peekable(), mentions: Criteria::default() };
        let rows = reader.alternatives()?;
        match reader.words.next() {
            None => Ok(Self { text: text.trim().to_owned(), mentions: reader.mentions, rows }),
            Some(")") => Err(ConditionError::Parenthesis),
            Some(word) => Err(misplaced(word)),
        }
    }
}

/// By recursive descent: `and` binds closer than `or`.
struct Reader<'a> {
    words: std::iter::Peekable<std::vec::IntoIter<&'a str>>,
    mentions: Criteria,
}

impl Reader<'_> {
    fn alternatives(&mut self) -> Result<u32, ConditionError> {
        let mut rows = self.all_of()?;
        while self.words.next_if_eq(&"or").is_some() {
            rows |= self.all_of()?;
        }
        Ok(rows)
    }

    fn all_of(&mut self) -> Result<u32, ConditionError> {
        let mut rows = self.one()?;
        while self.words.next_if_eq(&"and").is_some() {
            rows &= self.one()?;
        }
        Ok(rows)
    }

    fn one(&mut self) -> Result<u32, ConditionError> {
        match self.words.next().ok_or(ConditionError::Early)? {
            "(" => {
                let rows = self.alternatives()?;
                self.words.next_if_eq(&")").map(|_| rows).ok_or(ConditionError::Parenthesis)
            }
            word => {
                let criterion = Criterion::ALL.into_iter().find(|criterion| criterion.word() == word);
                let criterion = criterion.ok_or_else(|| misplaced(word))?;
                self.mentions = self.mentions.or([criterion].into_iter().collect());
                Ok(criterion.rows())
            }
        }
    }
}

fn misplaced(word: &str) -> ConditionError {
    let known = ["and", "or", "(", ")"].contains(&word) || Criterion::ALL.iter().any(|known| known.word() == word);
    if known { ConditionError::Misplaced(word.to_owned()) } else { ConditionError::Word(word.to_owned()) }
}

#[cfg(test)]
mod tests {
    use Criterion::{Certificate, Helo, Listener, Network, User};
    use proptest::prelude::*;

    use super::*;

    /// A condition as a tree, which needs no parser.
    #[derive(Clone, Debug)]
    enum Tree {
        Leaf(Criterion),
        And(Box<Self>, Box<Self>),
        Or(Box<Self>, Box<Self>),
    }

    impl Tree {
        fn any() -> impl Strategy<Value = Self> {
            let leaf = proptest::sample::select(Criterion::ALL.to_vec()).prop_map(Self::Leaf);
            leaf.prop_recursive(4, 12, 2, |inner| {
                (any::<bool>(), inner.clone(), inner).prop_map(|(and, one, two)| match and {
                    true => Self::And(Box::new(one), Box::new(two)),
                    false => Self::Or(Box::new(one), Box::new(two)),
                })
            })
        }

        fn holds(&self, criteria: Criteria) -> bool {
            match self {
                Self::Leaf(criterion) => criteria.has(*criterion),
                Self::And(one, two) => one.holds(criteria) && two.holds(criteria),
                Self::Or(one, two) => one.holds(criteria) || two.holds(criteria),
            }
        }

        /// With no parentheses but those that it needs.
        fn text(&self) -> String {
            let factor = |tree: &Self| match tree {
                Self::Or(..) => format!("({})", tree.text()),
                _ => tree.text(),
            };
            match self {
                Self::Leaf(criterion) => criterion.word().to_owned(),
                Self::And(one, two) => format!("{} and {}", factor(one), factor(two)),
                Self::Or(one, two) => format!("{} or {}", one.text(), two.text()),
            }
        }
    }

    proptest! {
        #[test]
        fn a_condition_holds_in_the_rows_in_which_its_tree_does(tree in Tree::any(), wide in any::<bool>()) {
            let text = if wide { tree.text().replace(' ', "  ").replace('(', " ( ") } else { tree.text() };
            match text.parse::<Condition>() {
                Ok(condition) => (0..32).map(Criteria).for_each(|row| {
                    assert_eq!(condition.holds(row), tree.holds(row), "{text} of {row:?}");
                }),
                Err(error) => prop_assert_eq!((error, text.len() > LONGEST), (ConditionError::Long, true)),
            }
        }

        #[test]
        fn whatever_is_written_is_a_condition_that_only_grows_or_is_refused(
            words in proptest::collection::vec(
                proptest::sample::select(vec!["network", "user", "helo", "and", "or", "(", ")", "not", "!"]), 0..12)
        ) {
            let text = words.join(" ");
            if let Ok(condition) = text.parse::<Condition>() {
                prop_assert!(!condition.holds(Criteria::default()), "{} lets in whoever shows nothing", text);
                for (row, more) in (0..32).flat_map(|row| (0..32).map(move |more| (Criteria(row), Criteria(more)))) {
                    prop_assert!(!condition.holds(row) || condition.holds(row.or(more)));
                }
            }
        }
    }

    fn set(criteria: &[Criterion]) -> Criteria {
        criteria.iter().copied().collect()
    }

    #[test]
    fn and_binds_closer_than_or_and_parentheses_closer_still() {
        let table: &[(&str, &[Criterion], bool)] = &[
            ("network", &[Network], true),
            ("network", &[User, Certificate, Helo, Listener], false),
            ("network or user and helo", &[Network], true),
            ("network or user and helo", &[User], false),
            ("network or user and helo", &[User, Helo], true),
            ("(network or user) and helo", &[Network], false),
            ("(network or user) and helo", &[Network, Helo], true),
            ("network and (user or certificate)", &[Network, Certificate], true),
            ("network and (user or certificate)", &[User, Certificate], false),
            ("((listener))and(network)", &[Listener, Network], true),
        ];
        for (text, hold, expected) in table {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(condition.holds(set(hold)), *expected, "{text} of {hold:?}");
        }
        assert_eq!("network or (user and helo)".parse::<Condition>().unwrap().mentions(), set(&[Network, User, Helo]));
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_spot() {
        for (text, expected) in [
            ("", ConditionError::Early),
            ("network and", ConditionError::Early),
            ("network user", ConditionError::Misplaced("user".into())),
            ("and network", ConditionError::Misplaced("and".into())),
            ("network und user", ConditionError::Word("und".into())),
            ("not network", ConditionError::Word("not".into())),
            ("(network", ConditionError::Parenthesis),
            ("network)", ConditionError::Parenthesis),
            ("network or ()", ConditionError::Misplaced(")".into())),
        ] {
            assert_eq!(text.parse::<Condition>(), Err(expected), "{text}");
        }
        assert_eq!("(".repeat(201).parse::<Condition>(), Err(ConditionError::Long));
        assert_eq!("(".repeat(200).parse::<Condition>(), Err(ConditionError::Early), "deep, and no stack overflows");
    }

    #[test]
    fn without_match_one_identity_is_enough_and_each_of_the_others_is_needed() {
        for (given, expected) in [
            (set(&[Network]), "network"),
            (set(&[Network, User]), "network or user"),
            (set(&[Network, User, Certificate, Helo]), "(network or user or certificate) and helo"),
            (set(&[User, Helo, Listener]), "user and helo and listener"),
        ] {
            let standard = Condition::standard(given);
            assert_eq!(standard.to_string(), expected);
            let read: Condition = expected.parse().unwrap();
            assert_eq!(standard, read, "{expected}");
        }
    }

    #[test]
    fn without_an_identity_nobody_is_let_in() {
        for given in [set(&[]), set(&[Helo]), set(&[Helo, Listener])] {
            let condition = Condition::standard(given);
            assert!((0..32).all(|row| !condition.holds(Criteria(row))), "{given:?}");
        }
    }

    #[test]
    fn what_proves_more_never_lets_in_less() {
        for text in ["network and (user or certificate)", "helo or listener", "network or user and helo"] {
            let condition: Condition = text.parse().unwrap();
            for row in 0..32 {
                for more in Criterion::ALL {
                    let more = Criteria(row).or(set(&[more]));
                    assert!(!condition.holds(Criteria(row)) || condition.holds(more), "{text} {row}");
                }
            }
        }
    }
}
