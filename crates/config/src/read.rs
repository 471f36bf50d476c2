//! From TOML to tables of typed values, each with its place; every mistake is noted and the reading goes on.
//!
//! A table is declared once, with the words of its keys (`table!`); that declaration reads the file, finds unknown keys,
//! fills in defaults and makes the reference page. A value that cannot be read is noted and counts as absent.

use std::ops::Deref;

use toml::de::{DeTable, DeValue};

use crate::nearest::nearest;
use crate::problem::{Complaint, Place, Sink};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// What can stand after a key.
pub(crate) trait Read: Sized {
    /// For the reference page.
    fn sort() -> Sort;
    /// `None`: noted in `sink`.
    fn read(value: &DeValue<'_>, at: &Spot<'_>, sink: &mut Sink) -> Option<Self>;
}

/// What is being read, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) key: &'a str,
    pub(crate) place: Place,
}

/// What sort of value a key takes.
pub(crate) enum Sort {
    /// One value, in words.
    Value(String),
    /// A table of its own.
    Table(&'static Table),
    /// Any number of them.
    List(Box<Sort>),
}

/// A table's words, for messages and for the reference page.
pub(crate) struct Table {
    pub(crate) heading: &'static str,
    pub(crate) doc: &'static [&'static str],
    pub(crate) keys: &'static [Key],
    /// Keys that later versions will know.
    pub(crate) planned: &'static [&'static str],
    /// Keys that earlier versions knew, and what to write in their place.
    pub(crate) gone: &'static [(&'static str, &'static str)],
}

/// A key's words.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static [&'static str],
    /// As TOML.
    pub(crate) default: Option<&'static str>,
    /// What holds when it is absent, in words.
    pub(crate) otherwise: Option<&'static str>,
    /// As TOML.
    pub(crate) example: Option<&'static str>,
    pub(crate) required: bool,
    pub(crate) sort: fn() -> Sort,
}

/// Declares a table. Each key has its words, its type (how it may be absent, and what it holds), and after it `default` or
/// `example` as TOML, or `otherwise` in words.
macro_rules! table {
    (
        $(#[doc = $doc:literal])*
        $name:ident $heading:literal {
            $(
                $(#[doc = $key_doc:literal])*
                $key:ident : $field:ty
                $(, default $default:literal)? $(, otherwise $otherwise:literal)? $(, example $example:literal)? ;
            )*
        }
        $(planned $($planned:literal),* ;)?
        $(gone $($gone:literal => $instead:literal),* ;)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            #[allow(dead_code, reason = "not every table is pointed at as a whole")]
            pub(crate) place: $crate::problem::Place,
            $( $(#[doc = $key_doc])* pub(crate) $key: $field, )*
        }

        impl $name {
            pub(crate) const TABLE: $crate::read::Table = $crate::read::Table {
                heading: $heading,
                doc: &[$($doc),*],
                keys: &[$( $crate::read::Key {
                    name: $crate::read::key_name(stringify!($key)),
                    doc: &[$($key_doc),*],
                    default: $crate::read::table!(@maybe $($default)?),
                    otherwise: $crate::read::table!(@maybe $($otherwise)?),
                    example: $crate::read::table!(@maybe $($example)?),
                    required: <$field as $crate::read::Field>::REQUIRED,
                    sort: <$field as $crate::read::Field>::sort,
                }, )*],
                planned: &[$($($planned),*)?],
                gone: &[$($(($gone, $instead)),*)?],
            };

            /// The table itself; unknown keys are noted.
            pub(crate) fn from_table(
                table: &toml::de::DeTable<'_>,
                place: $crate::problem::Place,
                sink: &mut $crate::problem::Sink,
            ) -> Self {
                let mut entries = $crate::read::Entries::new(&Self::TABLE, table, place, sink);
                Self { place, $( $key: entries.take($crate::read::key_name(stringify!($key))), )* }
            }
        }

        impl $crate::read::Read for $name {
            fn sort() -> $crate::read::Sort {
                $crate::read::Sort::Table(&Self::TABLE)
            }
            fn read(
                value: &toml::de::DeValue<'_>,
                at: &$crate::read::Spot<'_>,
                sink: &mut $crate::problem::Sink,
            ) -> Option<Self> {
                let table = $crate::read::as_table(value, at, sink)?;
                Some(Self::from_table(table, at.place, sink))
            }
        }
    };
    (@maybe) => { None };
    (@maybe $literal:literal) => { Some($literal) };
}
pub(crate) use table;

/// Words of Rust can be keys too.
pub(crate) const fn key_name(identifier: &'static str) -> &'static str {
    match identifier.as_bytes() {
        [b'r', b'#', ..] => identifier.split_at(2).1,
        _ => identifier,
    }
}

/// A table that is being read.
pub(crate) struct Entries<'a, 'i> {
    known: &'static Table,
    table: &'a DeTable<'i>,
    place: Place,
    sink: &'a mut Sink,
    /// Keys that were probably meant by unknown ones.
    meant: Vec<&'static str>,
}

impl<'a, 'i> Entries<'a, 'i> {
    /// Unknown keys are noted now.
    pub(crate) fn new(known: &'static Table, table: &'a DeTable<'i>, place: Place, sink: &'a mut Sink) -> Self {
        let mut meant = Vec::new();
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.keys.iter().any(|k| k.name == name) {
                // What is gone was not meant to be another key.
                let names =
                    known.keys.iter().map(|key| key.name).filter(|_| known.gone.iter().all(|(g, _)| *g != name));
                meant.extend(nearest(name, names));
                sink.complain(Place(Some(key.span().start)), unknown(known, name));
            }
        }
        Self { known, table, place, sink, meant }
    }
    /// The value of a key that the table declares.
    pub(crate) fn take<F: Field>(&mut self, name: &'static str) -> F {
        let key = self.known.keys.iter().find(|key| key.name == name).expect("a table reads the keys that it declares");
        let written = self.table.iter().find(|(k, _)| k.get_ref().as_ref() == name);
        let before = self.sink.count();
        let value = written.and_then(|(_, value)| {
            let place = Place(Some(value.span().start));
            let at = Spot { key: name, place };
            F::Value::read(value.get_ref(), &at, self.sink).map(|value| At { value, place })
        });
        let unread = self.sink.count() > before || self.meant.contains(&name);
        if F::REQUIRED && written.is_none() && !unread {
            self.sink.complain(self.place, missing(self.known, key));
        }
        F::from(Taken { value, unread }, key, self.place)
    }
}

/// What was found of a key.
pub(crate) struct Taken<T> {
    value: Option<At<T>>,
    /// Something about it was noted already: that it is missing need not be said again.
    unread: bool,
}

fn unknown(table: &Table, key: &str) -> Complaint {
    if table.planned.contains(&key) {
        return Complaint::new(
            format!("`{key}` in {} is not supported by this version yet", table.heading),
            "take it out; a key that does nothing would only look as if it did",
        );
    }
    if let Some((_, instead)) = table.gone.iter().find(|(gone, _)| *gone == key) {
        return Complaint::new(format!("`{key}` in {} is no more", table.heading), *instead);
    }
    let what = format!("unknown key `{key}` in {}", table.heading);
    match nearest(key, table.keys.iter().map(|key| key.name)) {
        Some(near) => Complaint { what: format!("{what}; did you mean `{near}`?"), remedy: None },
        None => {
            let names: Vec<_> = table.keys.iter().map(|key| key.name).collect();
            Complaint::new(what, format!("keys known here: {}", names.join(", ")))
        }
    }
}

fn missing(table: &Table, key: &Key) -> Complaint {
    let what = format!("{} needs the key `{}`", table.heading, key.name);
    Complaint { what, remedy: key.example.map(|example| format!("for example: {} = {example}", key.name)) }
}

/// How a key may be absent.
pub(crate) trait Field {
    type Value: Read;
    const REQUIRED: bool;
    fn sort() -> Sort {
        Self::Value::sort()
    }
    /// `table`: where to point for a value that was not written.
    fn from(taken: Taken<Self::Value>, key: &Key, table: Place) -> Self;
}

/// It must be there. `None`: it is not, which has been noted.
#[derive(Clone, Debug)]
pub(crate) struct Required<T>(Option<At<T>>);

/// It may be absent.
#[derive(Clone, Debug)]
pub(crate) struct Optional<T> {
    found: Option<At<T>>,
    unread: bool,
}

/// Absent, it has its default.
#[derive(Clone, Debug)]
pub(crate) struct Defaulted<T> {
    found: At<T>,
    unread: bool,
}

/// Any number, also none.
pub(crate) type Many<T> = Defaulted<Vec<At<T>>>;

impl<T> Optional<T> {
    /// Not there, and not by a mistake that was noted.
    pub(crate) fn is_absent(&self) -> bool {
        self.found.is_none() && !self.unread
    }
    /// By such a mistake.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }
}

impl<T> Many<T> {
    /// None, and not by a mistake that was noted.
    pub(crate) fn is_absent(&self) -> bool {
        self.found.value.is_empty() && !self.unread
    }
    /// Some of it could not be read.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }
}

impl<T: Read> Field for Required<T> {
    type Value = T;
    const REQUIRED: bool = true;
    fn from(taken: Taken<T>, _: &Key, _: Place) -> Self {
        Self(taken.value)
    }
}

impl<T: Read> Field for Optional<T> {
    type Value = T;
    const REQUIRED: bool = false;
    fn from(Taken { value, unread }: Taken<T>, _: &Key, _: Place) -> Self {
        Self { found: value, unread }
    }
}

impl<T: Read> Field for Defaulted<T> {
    type Value = T;
    const REQUIRED: bool = false;
    fn from(Taken { value, unread }: Taken<T>, key: &Key, table: Place) -> Self {
        Self { found: value.unwrap_or_else(|| At { value: default(key), place: table }), unread }
    }
}

/// Reads a default as if it had been written.
fn default<T: Read>(key: &Key) -> T {
    let text = key.default.expect("every defaulted key declares its default");
    let value = DeValue::parse(text).expect("declared defaults are TOML");
    let mut sink = Sink::new("", "");
    T::read(value.get_ref(), &Spot { key: key.name, place: Place(None) }, &mut sink)
        .expect("declared defaults can be read")
}

impl<T> Deref for Required<T> {
    type Target = Option<At<T>>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> Deref for Optional<T> {
    type Target = Option<At<T>>;
    fn deref(&self) -> &Self::Target {
        &self.found
    }
}

impl<T> Deref for Defaulted<T> {
    type Target = At<T>;
    fn deref(&self) -> &Self::Target {
        &self.found
    }
}

impl<T: Read> Read for Vec<At<T>> {
    fn sort() -> Sort {
        Sort::List(Box::new(T::sort()))
    }
    fn read(value: &DeValue<'_>, at: &Spot<'_>, sink: &mut Sink) -> Option<Self> {
        let Some(list) = value.as_array() else {
            sink.complain(at.place, wrong_type(at.key, "a list", value));
            return None;
        };
        let read = |item: &toml::Spanned<DeValue<'_>>| {
            let place = Place(Some(item.span().start));
            T::read(item.get_ref(), &Spot { key: at.key, place }, sink).map(|value| At { value, place })
        };
        Some(list.iter().filter_map(read).collect())
    }
}

/// A table whose keys are free: texts, and the texts that they stand for.
#[derive(Clone, Debug)]
pub(crate) struct Map(pub(crate) Vec<(At<String>, At<String>)>);

impl Read for Map {
    fn sort() -> Sort {
        Sort::Value("table of texts".to_owned())
    }
    fn read(value: &DeValue<'_>, at: &Spot<'_>, sink: &mut Sink) -> Option<Self> {
        let mut pairs = Vec::new();
        for (key, value) in as_table(value, at, sink)? {
            let place = Place(Some(value.span().start));
            match value.get_ref().as_str() {
                Some(text) => pairs.push((
                    At { value: key.get_ref().to_string(), place: Place(Some(key.span().start)) },
                    At { value: text.to_owned(), place },
                )),
                None => sink.complain(place, wrong_type(key.get_ref(), "a text in quotes", value.get_ref())),
            }
        }
        Some(Self(pairs))
    }
}

/// The table in `value`; anything else is noted.
pub(crate) fn as_table<'a, 'i>(value: &'a DeValue<'i>, at: &Spot<'_>, sink: &mut Sink) -> Option<&'a DeTable<'i>> {
    if value.as_table().is_none() {
        sink.complain(at.place, wrong_type(at.key, "a table", value));
    }
    value.as_table()
}

/// `expected`: with its article.
pub(crate) fn wrong_type(key: &str, expected: &str, value: &DeValue<'_>) -> Complaint {
    let article = if value.type_str().starts_with(['a', 'i']) { "an" } else { "a" };
    Complaint { what: format!("`{key}` must be {expected}, not {article} {}", value.type_str()), remedy: None }
}
