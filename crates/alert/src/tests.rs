//! Desk, worker and channels together, in virtual time: channels that fail, hang and come back, and restarts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use telemetry::IncidentKind as Kind;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::channel::{Again, Failure, Sender};

/// What survives.
#[derive(Default)]
struct Shelf {
    values: Mutex<BTreeMap<String, String>>,
    broken: AtomicBool,
}

#[async_trait]
impl Memory for Shelf {
    async fn remember(&self, key: &str, value: Option<&str>) -> Result<(), String> {
        if self.broken.load(Ordering::Relaxed) {
            return Err("the disk is full".to_owned());
        }
        let mut values = self.values.lock().unwrap();
        match value {
            Some(value) => values.insert(key.to_owned(), value.to_owned()),
            None => values.remove(key),
        };
        Ok(())
    }
    async fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, String> {
        let values = self.values.lock().unwrap();
        Ok(values.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

/// Takes no mail.
struct NoPost;

#[async_trait]
impl Post for NoPost {
    async fn mail(&self, _: Mail) -> Result<(), String> {
        Err("no lane".to_owned())
    }
}

/// Does what it is told to, one answer after the other, then what it does always.
#[derive(Default)]
struct Fake {
    answers: Mutex<VecDeque<Failure>>,
    always: Mutex<Option<Failure>>,
    hangs: AtomicBool,
    got: Mutex<Vec<(Duration, Bulletin)>>,
    tried: Mutex<Vec<Duration>>,
    since: Mutex<Option<Instant>>,
}

#[async_trait]
impl Sender for Fake {
    async fn send(&self, bulletin: &Bulletin) -> Result<(), Failure> {
        let passed = self.since.lock().unwrap().get_or_insert_with(Instant::now).elapsed();
        self.tried.lock().unwrap().push(passed);
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let next = self.answers.lock().unwrap().pop_front();
        if let Some(failure) = next.or_else(|| self.always.lock().unwrap().clone()) {
            return Err(failure);
        }
        self.got.lock().unwrap().push((passed, bulletin.clone()));
        Ok(())
    }
}

impl Fake {
    /// The first line of each notice that arrived.
    fn got(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter().flat_map(|(_, bulletin)| bulletin.notices.iter().map(Notice::headline)).collect()
    }
    fn bulletins(&self) -> usize {
        self.got.lock().unwrap().len()
    }
    fn tried_at(&self) -> Vec<u64> {
        self.tried.lock().unwrap().iter().map(Duration::as_secs).collect()
    }
    fn fails(&self, failure: Option<Failure>) {
        *self.always.lock().unwrap() = failure;
    }
}

/// One life of a relay.
struct Life {
    desk: Desk,
    stop: CancellationToken,
    worker: JoinHandle<()>,
}

/// A clock that goes with virtual time.
fn clock() -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    let (base, since): (Timestamp, _) = ("2026-11-21T00:00:00Z".parse().unwrap(), Instant::now());
    Arc::new(move || base + since.elapsed())
}

/// With a fake for each name.
fn live(shelf: &Arc<Shelf>, now: &Arc<dyn Fn() -> Timestamp + Send + Sync>, fakes: &[(&str, &Arc<Fake>)]) -> Life {
    live_with(shelf, now, fakes, |_| {})
}

/// `early`: what is said before the worker runs.
fn live_with(
    shelf: &Arc<Shelf>,
    now: &Arc<dyn Fn() -> Timestamp + Send + Sync>,
    fakes: &[(&str, &Arc<Fake>)],
    early: impl FnOnce(&Desk),
) -> Life {
    let lines = fakes.iter().map(|(name, fake)| Line::of(name, Arc::clone(fake) as Arc<dyn Sender>)).collect();
    let shared = Arc::new(Shared::with_lines("relay".to_owned(), Arc::clone(now), lines, Arc::default()));
    let (desk, worker) = (Desk { shared: Arc::clone(&shared) }, Worker { shared });
    early(&desk);
    let stop = CancellationToken::new();
    let memory = Arc::clone(shelf) as Arc<dyn Memory>;
    let worker = tokio::spawn(worker.run(memory, Arc::new(NoPost), stop.clone()));
    Life { desk, stop, worker }
}

impl Life {
    async fn end(self) {
        self.stop.cancel();
        self.worker.await.unwrap();
    }
    /// Kill -9.
    fn kill(self) {
        self.worker.abort();
        self.stop.cancel();
    }
}

fn incident(kind: Kind, about: &str) -> Incident {
    Incident {
        kind,
        about: about.to_owned(),
        severity: Severity::Critical,
        what: format!("{about} is broken"),
        remedy: "mend it".to_owned(),
        code: None,
        lanes: Vec::new(),
    }
}

fn down() -> Failure {
    Failure::soon("nobody there", "go and look")
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn an_opening_and_its_end_reach_every_channel_once() {
    let (a, b, shelf) = (Arc::new(Fake::default()), Arc::new(Fake::default()), Arc::default());
    let life = live(&shelf, &clock(), &[("a", &a), ("b", &b)]);
    for _ in 0..5 {
        life.desk.open(incident(Kind::Breaker, "x"));
        seconds(60).await;
    }
    assert_eq!(life.desk.open_incidents().len(), 1);
    life.desk.close(Kind::Breaker, "x", "mended");
    seconds(1).await;
    for fake in [&a, &b] {
        assert_eq!(fake.got(), ["CRITICAL: x is broken", "OVER after 5 min: x is broken (mended)"]);
    }
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_down_gets_everything_in_order_when_it_is_back() {
    let (fake, shelf) = (Arc::new(Fake::default()), Arc::default());
    fake.fails(Some(down()));
    let life = live(&shelf, &clock(), &[("a", &fake)]);
    life.desk.open(incident(Kind::Breaker, "x"));
    seconds(100).await;
    life.desk.open(incident(Kind::Breaker, "y"));
    assert_eq!(fake.tried_at(), [0, 5, 15, 35, 75]);
    seconds(3600).await;
    fake.fails(None);
    seconds(600).await;
    assert_eq!(fake.got(), ["CRITICAL: x is broken", "CRITICAL: y is broken"]);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_hangs_delays_no_other_and_no_caller() {
    let (hanging, fine, shelf) = (Arc::new(Fake::default()), Arc::new(Fake::default()), Arc::default());
    hanging.hangs.store(true, Ordering::Relaxed);
    let life = live(&shelf, &clock(), &[("hanging", &hanging), ("fine", &fine)]);
    for number in 0..5 {
        life.desk.open(incident(Kind::Breaker, &number.to_string()));
        seconds(1).await;
    }
    assert_eq!((fine.got().len(), hanging.tried_at().len()), (5, 1));
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_says_when_is_asked_then_and_not_before() {
    let (fake, shelf) = (Arc::new(Fake::default()), Arc::default());
    let again = Again::After(Duration::from_secs(120));
    fake.answers.lock().unwrap().push_back(Failure { again, ..down() });
    let life = live(&shelf, &clock(), &[("a", &fake)]);
    life.desk.open(incident(Kind::Breaker, "x"));
    seconds(300).await;
    assert_eq!((fake.tried_at(), fake.got().len()), (vec![0, 120], 1));
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_refuses_is_asked_every_hour_and_the_others_say_so() {
    let (refusing, fine, shelf) = (Arc::new(Fake::default()), Arc::new(Fake::default()), Arc::default());
    refusing.fails(Some(Failure::seldom("404", "make a new one")));
    let life = live(&shelf, &clock(), &[("a", &refusing), ("b", &fine)]);
    life.desk.open(incident(Kind::Breaker, "x"));
    seconds(3700).await;
    assert_eq!(refusing.tried_at(), [0, 3600]);
    let told = ["CRITICAL: x is broken", "WARNING: the alert channel a does not work: 404"];
    assert_eq!(fine.got(), told);
    refusing.fails(None);
    seconds(3600).await;
    // It hears of what it missed, not of itself.
    assert_eq!(refusing.got(), ["CRITICAL: x is broken"]);
    assert_eq!(fine.got()[2], "OVER after 2 h 0 min: the alert channel a does not work: 404");
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_day_without_success_a_notice_is_given_up() {
    let (fake, shelf) = (Arc::new(Fake::default()), Arc::default());
    fake.fails(Some(down()));
    let life = live(&shelf, &clock(), &[("a", &fake)]);
    life.desk.open(incident(Kind::Breaker, "x"));
    seconds(86_400 + 601).await;
    let tries = fake.tried_at().len();
    seconds(3600).await;
    assert_eq!(fake.tried_at().len(), tries);
    fake.fails(None);
    life.desk.open(incident(Kind::Breaker, "y"));
    seconds(601).await;
    let got = fake.got.lock().unwrap().remove(0).1;
    assert_eq!((fake.bulletins(), got.dropped, got.notices[0].about.as_str()), (0, 1, "y"));
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_bulletin_for_a_channel_that_lags() {
    let (fake, shelf) = (Arc::new(Fake::default()), Arc::default());
    fake.answers.lock().unwrap().push_back(down());
    let life = live(&shelf, &clock(), &[("a", &fake)]);
    for number in 0..40 {
        life.desk.open(incident(Kind::Breaker, &number.to_string()));
    }
    seconds(60).await;
    assert_eq!((fake.bulletins(), fake.got().len()), (1, 40));
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_openings_neither_block_nor_grow_without_bound() {
    let (fake, shelf) = (Arc::new(Fake::default()), Arc::default());
    fake.hangs.store(true, Ordering::Relaxed);
    let life = live(&shelf, &clock(), &[("a", &fake)]);
    seconds(1).await;
    for number in 0..10_000 {
        life.desk.open(incident(Kind::Breaker, &number.to_string()));
    }
    assert_eq!(life.desk.open_incidents().len(), 1001);
    seconds(60).await;
    let stored: usize = shelf.values.lock().unwrap().values().map(String::len).sum();
    assert!(stored < 1_000_000, "{stored}");
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_open_and_what_is_owed_survive_a_kill() {
    let (fake, shelf, now) = (Arc::new(Fake::default()), Arc::default(), clock());
    fake.fails(Some(down()));
    let life = live(&shelf, &now, &[("a", &fake)]);
    life.desk.open(incident(Kind::QueueAge, "looked for"));
    life.desk.open(incident(Kind::Breaker, "event"));
    seconds(1).await;
    life.kill();
    fake.fails(None);
    let life = live(&shelf, &now, &[("a", &fake)]);
    seconds(10).await;
    assert_eq!(fake.got(), ["CRITICAL: looked for is broken", "CRITICAL: event is broken"]);
    assert_eq!(life.desk.open_incidents().len(), 2);
    seconds(80).await;
    life.desk.open(incident(Kind::Breaker, "event"));
    seconds(30).await;
    assert_eq!(fake.got()[2..], ["OVER after 91 s: looked for is broken (not found again after the restart)"]);
    assert_eq!(life.desk.open_incidents().len(), 1);
    life.end().await;
    assert!(shelf.values.lock().unwrap().keys().all(|key| key.starts_with("alert/open/")));
}

#[tokio::test(start_paused = true)]
async fn what_was_told_before_a_restart_is_not_told_again_although_it_is_found_before_the_worker_runs() {
    let (fake, shelf, now) = (Arc::new(Fake::default()), Arc::default(), clock());
    let life = live(&shelf, &now, &[("a", &fake)]);
    life.desk.open(incident(Kind::Breaker, "x"));
    life.desk.open(incident(Kind::Breaker, "y"));
    seconds(1).await;
    life.end().await;
    let life = live_with(&shelf, &now, &[("a", &fake)], |desk| {
        desk.open(incident(Kind::Breaker, "x"));
        desk.close(Kind::Breaker, "y", "");
        desk.open(incident(Kind::Breaker, "z"));
    });
    seconds(1).await;
    assert_eq!(fake.got()[2..], ["OVER after 1 s: y is broken", "CRITICAL: z is broken"]);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn notices_go_on_where_nothing_can_be_remembered_and_are_remembered_later() {
    let (fake, shelf) = (Arc::new(Fake::default()), Arc::new(Shelf::default()));
    shelf.broken.store(true, Ordering::Relaxed);
    let life = live(&shelf, &clock(), &[("a", &fake)]);
    life.desk.open(incident(Kind::Disk, "spool"));
    seconds(5).await;
    assert_eq!(fake.got().len(), 1);
    shelf.broken.store(false, Ordering::Relaxed);
    seconds(60).await;
    assert_eq!(shelf.values.lock().unwrap().keys().collect::<Vec<_>>(), ["alert/open/disk/spool"]);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn stored_values_that_nobody_understands_are_forgotten() {
    let shelf = Arc::new(Shelf::default());
    for key in ["alert/open/earthquake/x", "alert/owed/a", "alert/owed/gone"] {
        shelf.remember(key, Some("{}x")).await.unwrap();
    }
    let life = live(&shelf, &clock(), &[("a", &Arc::default())]);
    seconds(1).await;
    assert!(shelf.values.lock().unwrap().is_empty());
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_test_says_what_came_of_each_channel_and_wakes_one_that_was_down() {
    let (fine, broken, shelf) = (Arc::new(Fake::default()), Arc::new(Fake::default()), Arc::default());
    broken.fails(Some(down()));
    let life = live(&shelf, &clock(), &[("fine", &fine), ("broken", &broken)]);
    let tested = life.desk.test(None).await;
    let failure = Tested { channel: "broken".to_owned(), error: Some("nobody there\n  hint: go and look".to_owned()) };
    assert_eq!(tested, [Tested { channel: "fine".to_owned(), error: None }, failure]);
    assert_eq!(fine.got(), ["TEST: this is a test of the alert channel fine; nothing is wrong"]);
    let unknown = life.desk.test(Some("other")).await;
    assert_eq!(unknown[0].error.as_deref().unwrap().lines().last(), Some("  hint: there are: fine, broken"));

    life.desk.open(incident(Kind::Breaker, "x"));
    seconds(400).await;
    let tries = broken.tried_at().len();
    broken.fails(None);
    assert_eq!(life.desk.test(Some("broken")).await[0].error, None);
    seconds(1).await;
    assert_eq!(broken.tried_at().len(), tries + 2);
    assert_eq!(broken.got()[1..], ["CRITICAL: x is broken"]);
    assert_eq!(life.desk.open_incidents().len(), 1);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_hears_only_what_it_wants() {
    let (fake, shelf) = (Arc::new(Fake::default()), Arc::new(Shelf::default()));
    let sender = Arc::clone(&fake) as Arc<dyn Sender>;
    let line = Line::of("a", sender).wanting(vec![Kind::Breaker], Severity::Critical);
    let shared = Arc::new(Shared::with_lines("relay".to_owned(), clock(), vec![line], Arc::default()));
    let (desk, stop) = (Desk { shared: Arc::clone(&shared) }, CancellationToken::new());
    let worker = tokio::spawn(Worker { shared }.run(shelf, Arc::new(NoPost), stop.clone()));
    desk.open(incident(Kind::Disk, "other kind"));
    desk.open(Incident { severity: Severity::Warning, ..incident(Kind::Breaker, "too mild") });
    desk.open(Incident { severity: Severity::Warning, ..incident(Kind::Breaker, "rises") });
    desk.open(incident(Kind::Breaker, "rises"));
    desk.close(Kind::Breaker, "too mild", "");
    desk.close(Kind::Breaker, "rises", "");
    seconds(1).await;
    assert_eq!(fake.got(), ["CRITICAL: rises is broken", "OVER after 0 s: rises is broken"]);
    stop.cancel();
    worker.await.unwrap();
}

/// Lines of a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn every_opening_and_every_end_is_one_line_of_the_log() {
    let (log, shelf) = (Log::default(), Arc::default());
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
    let _guard = tracing::subscriber::set_default(lines.with_writer(move || writer.clone()).finish());
    let life = live(&shelf, &clock(), &[]);
    seconds(1).await;
    for _ in 0..3 {
        life.desk.open(Incident { code: Some("5.7.139".to_owned()), ..incident(Kind::Breaker, "x") });
    }
    seconds(720).await;
    life.desk.close(Kind::Breaker, "x", "mended");
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let told: Vec<&str> = text.lines().filter(|line| line.contains("alert=true")).map(str::trim).collect();
    assert_eq!(
        told,
        [
            r#"ERROR x is broken alert=true kind="breaker" about="x" code="5.7.139" remedy="mend it""#,
            r#"INFO over after 12 min: x is broken (mended) alert=true kind="breaker" about="x" code="5.7.139""#,
        ]
    );
    life.end().await;
}
