//! Notices as mail, through the relay's own queue, never by a lane that is broken.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::{Failure, PostBox, Sender};
use crate::Mail;
use crate::notice::{Bulletin, Notice, State, line};

/// Longest wait until it is in the queue.
const LIMIT: Duration = Duration::from_secs(60);
const LONGEST_SUBJECT: usize = 150;

/// Mail to some addresses.
pub(crate) struct ByMail {
    to: Vec<String>,
    by: Option<String>,
    post: PostBox,
}

impl ByMail {
    pub(crate) fn new(to: Vec<String>, by: Option<String>, post: PostBox) -> Self {
        Self { to, by, post }
    }

    fn mail(&self, bulletin: &Bulletin) -> Mail {
        Mail {
            to: self.to.clone(),
            subject: line(&format!("[posthouse] {}", bulletin.summary()), LONGEST_SUBJECT),
            text: text(bulletin),
            by: self.by.clone(),
            not_by: broken(&bulletin.notices),
        }
    }
}

#[async_trait]
impl Sender for ByMail {
    async fn send(&self, bulletin: &Bulletin) -> Result<(), Failure> {
        let Some(post) = self.post.get() else {
            return Err(Failure::soon("the relay is still starting", "try again in a moment"));
        };
        let hint = "give the channel a path that works on its own (`mail = { to = […], path = \"…\" }`), or a channel of \
                    another kind beside it";
        match timeout(LIMIT, post.mail(self.mail(bulletin))).await {
            Ok(queued) => queued.map_err(|why| Failure::soon(format!("it cannot be queued as mail: {why}"), hint)),
            Err(_) => Err(Failure::soon("it could not be queued as mail within a minute", hint)),
        }
    }
}

/// Lanes of what is not over.
fn broken(notices: &[Notice]) -> Vec<String> {
    let open = notices.iter().filter(|notice| matches!(notice.state, State::Open | State::Flapping));
    let mut lanes: Vec<String> = open.flat_map(|notice| notice.lanes.iter().cloned()).collect();
    lanes.sort();
    lanes.dedup();
    lanes
}

fn text(bulletin: &Bulletin) -> String {
    let mut text: String = bulletin.notices.iter().map(paragraph).collect();
    if let Some(rest) = bulletin.rest(bulletin.notices.len()) {
        text.push_str(&format!("{rest}\n\n"));
    }
    text.push_str(&format!("-- \nposthouse on {}; what is open now: posthouse alert list\n", bulletin.host));
    text
}

fn paragraph(notice: &Notice) -> String {
    let mut lines = vec![notice.headline()];
    lines.extend(notice.advice().map(|remedy| format!("What to do: {remedy}")));
    lines.push(notice.particulars());
    if !notice.lanes.is_empty() {
        lines.push(format!("Paths: {}", notice.lanes.join(", ")));
    }
    format!("{}\n\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, OnceLock};

    use super::*;
    use crate::notice::samples;

    /// Keeps what it is given, or refuses it.
    #[derive(Default)]
    struct Tray {
        given: Mutex<Vec<Mail>>,
        refuses: Option<String>,
    }

    #[async_trait]
    impl crate::Post for Tray {
        async fn mail(&self, mail: Mail) -> Result<(), String> {
            self.given.lock().unwrap().push(mail);
            self.refuses.clone().map_or(Ok(()), Err)
        }
    }

    fn channel(post: &Arc<Tray>) -> ByMail {
        let place: PostBox = Arc::new(OnceLock::new());
        let _ = place.set(Arc::clone(post) as Arc<dyn crate::Post>);
        ByMail::new(vec!["it@contoso.com".to_owned()], None, place)
    }

    #[tokio::test]
    async fn an_opening_avoids_its_lanes_and_says_what_to_do() {
        let post = Arc::new(Tray::default());
        channel(&post).send(&samples::bulletin(vec![samples::opened()])).await.unwrap();
        let mail = post.given.lock().unwrap().remove(0);
        assert_eq!(mail.not_by, ["contoso/submission"]);
        assert_eq!(
            mail.subject,
            "[posthouse] relay.contoso.com: CRITICAL: the client secret has expired: mail of contoso waits"
        );
        assert_eq!(
            mail.text,
            "CRITICAL: the client secret has expired: mail of contoso waits\n\
             What to do: make a new secret & put it into <secret>\n\
             breaker · credential contoso/1111 · AADSTS7000222 · since 2026-11-21 01:36:00 UTC\n\
             Paths: contoso/submission\n\n\
             -- \nposthouse on relay.contoso.com; what is open now: posthouse alert list\n"
        );
    }

    #[tokio::test]
    async fn a_recovery_may_take_the_lane_that_works_again() {
        let post = Arc::new(Tray::default());
        channel(&post).send(&samples::bulletin(vec![samples::closed()])).await.unwrap();
        assert_eq!(post.given.lock().unwrap()[0].not_by, Vec::<String>::new());
    }

    #[tokio::test]
    async fn where_no_lane_is_left_it_is_tried_again_and_the_reason_is_told() {
        let refuses = Some("every lane is broken".to_owned());
        let post = Arc::new(Tray { refuses, ..Tray::default() });
        let failure = channel(&post).send(&samples::bulletin(vec![samples::opened()])).await.unwrap_err();
        assert_eq!(failure.again, super::super::Again::Soon);
        assert_eq!(failure.what, "it cannot be queued as mail: every lane is broken");
    }
}
