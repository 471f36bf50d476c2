//! Notices that a channel still owes, in order.
//!
//! In: notices. Out: the bulletin that is to be sent next: one notice, or all that wait where the channel lags. Bounded: the
//! oldest are given up, and counted.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::notice::{Bulletin, Notice};

/// From here on what waits is sent as one.
const LAG: usize = 10;
/// Notices in one bulletin.
const MOST_AT_ONCE: usize = 50;
const MOST_WAITING: usize = 200;

/// What one channel owes; also as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    notices: VecDeque<Notice>,
    dropped: usize,
    #[serde(skip)]
    changed: bool,
    /// The first ones are being sent.
    #[serde(skip)]
    sending: usize,
}

impl Waiting {
    pub(crate) fn push(&mut self, notice: Notice) {
        self.notices.push_back(notice);
        self.changed = true;
        if self.notices.len() > MOST_WAITING {
            self.make_room();
        }
    }

    /// What was owed before the restart comes first. Nothing was sent yet.
    pub(crate) fn recall(&mut self, mut owed: Self) {
        owed.notices.append(&mut self.notices);
        *self = Self { changed: true, ..owed };
        while self.notices.len() > MOST_WAITING {
            self.make_room();
        }
    }

    /// What is to be sent next. It stays until [`Self::sent`].
    pub(crate) fn next(&mut self, host: &str) -> Option<Bulletin> {
        let waiting = self.notices.len();
        self.sending = if waiting > LAG { waiting.min(MOST_AT_ONCE) } else { waiting.min(1) };
        let first: Vec<Notice> = self.notices.iter().take(self.sending).cloned().collect();
        let notices = if first.len() > 1 { latest(first) } else { first };
        (!notices.is_empty()).then(|| Bulletin { host: host.to_owned(), notices, dropped: self.dropped })
    }

    /// The last bulletin has arrived.
    pub(crate) fn sent(&mut self) {
        self.notices.drain(..self.sending.min(self.notices.len()));
        (self.sending, self.dropped, self.changed) = (0, 0, true);
    }

    /// The last bulletin has not arrived. Notices from before `oldest` are given up; returns how many.
    pub(crate) fn failed(&mut self, oldest: Timestamp) -> usize {
        self.sending = 0;
        let old = self.notices.iter().take_while(|notice| notice.at < oldest).count();
        self.notices.drain(..old);
        self.dropped += old;
        self.changed |= old > 0;
        old
    }

    /// Whether something is to be stored.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// What is to be stored, if it is another than the last time; `Some(None)`: nothing is owed.
    pub(crate) fn take_changes(&mut self) -> Option<Option<Self>> {
        std::mem::take(&mut self.changed).then(|| (!self.notices.is_empty()).then(|| self.clone()))
    }

    /// It could not be stored.
    pub(crate) fn not_stored(&mut self) {
        self.changed = true;
    }

    /// Gives up an older notice of the incident that was told last, else the oldest. What is being sent stays.
    fn make_room(&mut self) {
        let Some(last) = self.notices.back() else { return };
        let (before, free) = (self.notices.len() - 1, self.sending);
        let outdated = self.notices.iter().take(before).skip(free).position(|notice| notice.same_incident(last));
        if outdated.is_none() {
            self.dropped += 1;
        }
        self.notices.remove(free + outdated.unwrap_or(0));
    }
}

/// Of each incident only the last notice: it says since when and until when.
fn latest(notices: Vec<Notice>) -> Vec<Notice> {
    let mut kept: Vec<Notice> = Vec::with_capacity(notices.len());
    for notice in notices {
        kept.retain(|other| !other.same_incident(&notice));
        kept.push(notice);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::samples;

    fn about(number: usize) -> Notice {
        Notice { about: number.to_string(), ..samples::opened() }
    }

    fn abouts(bulletin: &Bulletin) -> Vec<&str> {
        bulletin.notices.iter().map(|notice| notice.about.as_str()).collect()
    }

    fn filled(notices: impl IntoIterator<Item = Notice>) -> Waiting {
        let mut waiting = Waiting::default();
        notices.into_iter().for_each(|notice| waiting.push(notice));
        waiting
    }

    #[test]
    fn few_are_sent_one_by_one_in_order() {
        let mut waiting = filled((0..3).map(about));
        for number in ["0", "1", "2"] {
            assert_eq!(abouts(&waiting.next("relay").unwrap()), [number]);
            waiting.sent();
        }
        assert_eq!(waiting.next("relay"), None);
    }

    #[test]
    fn what_was_not_sent_is_sent_again_with_what_came_since() {
        let mut waiting = filled([about(0)]);
        waiting.next("relay").unwrap();
        (1..20).for_each(|number| waiting.push(about(number)));
        assert_eq!(waiting.failed(Timestamp::MIN), 0);
        assert_eq!(waiting.next("relay").unwrap().notices.len(), 20);
    }

    #[test]
    fn a_channel_that_lags_gets_one_bulletin_with_the_last_word_on_each_incident() {
        let mut waiting = filled((0..11).map(about));
        waiting.push(Notice { about: "3".to_owned(), ..samples::closed() });
        let bulletin = waiting.next("relay").unwrap();
        assert_eq!(abouts(&bulletin), ["0", "1", "2", "4", "5", "6", "7", "8", "9", "10", "3"]);
        assert!(bulletin.notices.last().unwrap().until.is_some());
        waiting.sent();
        assert_eq!(waiting.next("relay"), None);
    }

    #[test]
    fn ten_thousand_notices_take_the_room_of_two_hundred_and_the_others_are_counted() {
        let mut waiting = filled((0..10_000).map(about));
        assert_eq!(waiting.notices.len(), MOST_WAITING);
        let bulletin = waiting.next("relay").unwrap();
        assert_eq!((bulletin.notices.len(), bulletin.dropped), (MOST_AT_ONCE, 9_800));
        assert_eq!(bulletin.notices[0].about, "9800");
    }

    #[test]
    fn an_outdated_notice_goes_first_and_does_not_count_as_lost() {
        let mut waiting = filled((0..MOST_WAITING).map(about));
        waiting.push(Notice { about: "150".to_owned(), ..samples::closed() });
        assert_eq!((waiting.notices.len(), waiting.dropped), (MOST_WAITING, 0));
        assert_eq!(waiting.notices[0].about, "0");
    }

    #[test]
    fn room_is_never_made_of_what_is_being_sent() {
        let mut waiting = filled([about(0)]);
        waiting.next("relay").unwrap();
        (1..=MOST_WAITING).for_each(|number| waiting.push(about(number)));
        waiting.sent();
        assert_eq!(waiting.notices[0].about, "2");
    }

    #[test]
    fn what_is_too_old_is_given_up_only_after_it_was_tried() {
        let old = Notice { at: Timestamp::UNIX_EPOCH, ..about(0) };
        let mut waiting = filled([old, about(1)]);
        assert_eq!(abouts(&waiting.next("relay").unwrap()), ["0"]);
        assert_eq!(waiting.failed(samples::opened().at), 1);
        let bulletin = waiting.next("relay").unwrap();
        assert_eq!((abouts(&bulletin), bulletin.dropped), (vec!["1"], 1));
    }

    #[test]
    fn what_was_owed_before_a_restart_comes_first() {
        let mut before = filled([about(0), about(1)]);
        let stored = serde_json::to_string(&before.take_changes().unwrap().unwrap()).unwrap();
        assert_eq!(before.take_changes(), None);
        let mut after = filled([about(2)]);
        after.recall(serde_json::from_str(&stored).unwrap());
        for number in ["0", "1", "2"] {
            assert_eq!(abouts(&after.next("relay").unwrap()), [number]);
            after.sent();
        }
        assert_eq!(after.take_changes(), Some(None));
    }
}
