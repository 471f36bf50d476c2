//! What is known of Microsoft 365, as data: its clouds, its limits, and what its answers mean.
//!
//! In: an answer of Exchange Online, of Microsoft Entra ID or of Microsoft Graph, and where it was given. Out: the row of
//! the catalogue that knows it, and what to do ([`Verdict`]); or any text that holds such an answer, and what it means to a
//! person ([`Explanation`]). Never: a socket, a file, a clock; nothing here changes.
//! Every fact names its source.

mod catalogue;
mod cloud;
mod deeds;
mod explain;
pub mod limits;
mod matching;
mod own;
mod page;
mod row;
mod verdict;

pub use catalogue::{Catalogue, TableError};
pub use cloud::{Cloud, DKIM_SELECTORS, DKIM_SUFFIX_SINCE_2025, UnknownCloud};
pub use explain::{Certainty, Explanation, Origin, for_support};
pub use own::OwnRefusal;
pub use page::refusals_markdown;
pub use row::{About, Action, Breaker, Class, Evidence, Excess, Move, Reference, Row, Source, Where};
pub use verdict::Verdict;
