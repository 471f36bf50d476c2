//! Whole histories by chance: mail arrives, attempts end after a while with any verdict, fetches are answered late or fail,
//! the relay is restarted. At all times the limits hold; in the end everything has been started as often as it was due.

use posthouse_queue::Spend;
use proptest::prelude::*;

use super::*;

/// Messages of one history.
const MESSAGES: usize = 60;
const INTERNAL: &str = "recipients in five minutes";
const EXTERNAL: &str = "external recipients in ten minutes";

/// Two pools of one lane, one of two; one budget for all, one for two lanes, one of messages each; shared breakers.
fn everything() -> Plan {
    let minute = |text: &str, limit| budget(&format!("{text}/messages a minute"), Counted::Messages, MINUTE, limit);
    let internal = BudgetSettings { reserve: 3, ..budget(INTERNAL, Counted::Recipients, 5 * MINUTE, 20) };
    let budgets = vec![minute("a", 5), minute("c", 1), internal, budget(EXTERNAL, Counted::External, 10 * MINUTE, 12)];
    let a = drawing_on(&["a/messages a minute", INTERNAL, EXTERNAL], bare("a", 2));
    let b = drawing_on(&[EXTERNAL], bare("b", 3));
    let c = drawing_on(&["c/messages a minute", INTERNAL], bare("c", 1));
    let d = drawing_on(&[INTERNAL, EXTERNAL], bare("d", 2));
    let needs = |text: &str| [breaker(Scope::Path, "x"), breaker(Scope::Mailbox, text)];
    let [c, d] = [c, d].map(|lane| needing(&needs(&lane.name.to_string()), lane));
    Plan { budgets, pools: vec![pool("a", vec![a]), pool("b", vec![b]), pool("p", vec![c, d])] }
}

struct Attempt {
    ends_at: Timestamp,
    start: Start,
    class: Class,
    /// What it will use: within the grant.
    used: Cost,
}

struct Fetch {
    ends_at: Timestamp,
    refill: Refill,
    messages: Vec<(MessageId, Cost)>,
    next_due_at: Option<Timestamp>,
}

struct History {
    it: Scheduler,
    plan: Plan,
    window: usize,
    store: Store,
    attempts: Vec<Attempt>,
    fetches: Vec<Fetch>,
    messages: HashMap<MessageId, (LaneName, Class)>,
    /// In a window of the scheduler.
    leased: BTreeSet<MessageId>,
    ledger: Vec<Spend>,
    remembered: BTreeMap<String, String>,
    now: Timestamp,
    made: usize,
    done: usize,
    restarts: usize,
    random: Box<dyn FnMut(u64) -> u64>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = dice(seed);
        let (plan, window) = (everything(), 1 + random(6) as usize);
        Self {
            it: Scheduler::new(SchedulerSettings { window }, plan.clone()),
            plan,
            window,
            store: Store::default(),
            attempts: Vec::new(),
            fetches: Vec::new(),
            messages: HashMap::new(),
            leased: BTreeSet::new(),
            ledger: Vec::new(),
            remembered: BTreeMap::new(),
            now: START,
            made: 0,
            done: 0,
            restarts: 0,
            random: Box::new(random),
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        (self.random)(below)
    }

    fn soon(&mut self, within: u64) -> Timestamp {
        self.now + Duration::from_millis(self.random(within))
    }

    fn play(mut self) {
        while self.done < MESSAGES {
            if self.made < MESSAGES && self.random(3) == 0 {
                self.arrive();
            }
            self.start_and_fetch();
            self.check();
            self.wait();
            self.answer_fetches();
            self.end_attempts();
            self.write_down();
            if self.random(40) == 0 && self.restarts < 5 {
                self.restart();
            }
        }
        assert!(self.it.drain().is_empty());
        assert!(self.store.waiting.values().all(BTreeSet::is_empty));
    }

    fn arrive(&mut self) {
        let place = self.random(3) as usize;
        let pool = self.plan.pools[place].name.clone();
        let id = id(self.made);
        self.made += 1;
        let class = [Class::Urgent, Class::New, Class::Deferred][self.random(3) as usize];
        let recipients = 1 + self.random(4) as u32 * self.random(4) as u32;
        let cost = cost(recipients, self.random(u64::from(recipients) + 1) as u32);
        self.messages.insert(id, (pool.clone(), class));
        self.store.costs.insert(id, cost);
        match self.random(2) {
            0 if self.it.handle_arrival(&pool, class, id, cost) => {
                self.leased.insert(id);
            }
            0 => self.store.put(&pool, class, self.now, id),
            _ => self.defer(id, 30_000),
        }
    }

    fn defer(&mut self, id: MessageId, within: u64) {
        let due = self.soon(within);
        let (pool, class) = self.messages[&id].clone();
        self.store.put(&pool, class, due, id);
        self.it.handle_due_at(&pool, class, due);
    }

    fn start_and_fetch(&mut self) {
        while let Some(start) = self.it.poll_start(self.now) {
            assert!(self.leased.remove(&start.id), "it was in a window, once");
            let (pool, class) = self.messages[&start.id].clone();
            assert_eq!(pool, start.pool);
            let ends_at = self.soon(4_000);
            let used = self.usage(&start);
            self.attempts.push(Attempt { ends_at, start, class, used });
        }
        while let Some(postponed) = self.it.poll_postponed(self.now) {
            assert!(self.leased.remove(&postponed.id) && postponed.until > self.now);
            let (pool, class) = self.messages[&postponed.id].clone();
            self.store.put(&pool, class, postponed.until, postponed.id);
            self.it.handle_due_at(&pool, class, postponed.until);
        }
        while let Some(refill) = self.it.poll_refill(self.now) {
            let (messages, next_due_at) = self.store.claim(&refill, self.now);
            let ends_at = self.soon(50);
            self.fetches.push(Fetch { ends_at, refill, messages, next_due_at });
        }
    }

    /// As much of the message as is granted, or less.
    fn usage(&mut self, start: &Start) -> Cost {
        let (all, grant) = (self.store.costs[&start.id], start.grant);
        let external = all.external.min(grant.external).min(grant.recipients);
        let internal = (all.recipients - all.external).min(grant.recipients - external);
        assert!(grant.messages > 0 && external + internal > 0, "something can go: {start:?}");
        match self.random(4) {
            0 => Cost::default(),
            1 => cost(internal, 0),
            _ => cost(external + internal, external),
        }
    }

    fn check(&mut self) {
        let status = self.it.status(self.now);
        for lane in &status.lanes {
            assert!(lane.active.max(lane.connections) <= lane.connections_ceiling && lane.connections > 0);
            assert!(lane.waiting.iter().all(|waiting| *waiting <= self.window));
            assert_eq!(lane.active, self.attempts.iter().filter(|attempt| attempt.start.lane == lane.name).count());
        }
        for budget in &self.plan.budgets {
            let since = |spend: &&Spend| spend.budget == budget.name && spend.at + budget.window > self.now;
            let spent: u32 = self.ledger.iter().filter(since).map(|spend| spend.amount).sum();
            let draws = |attempt: &&Attempt| {
                let (_, lane) = self.plan.lane(&attempt.start.lane).unwrap();
                lane.budgets.contains(&budget.name)
            };
            let coming: u32 = self.attempts.iter().filter(draws).map(|attempt| attempt.used.of(budget.counts)).sum();
            assert!(u64::from(spent + coming) <= budget.limit, "{}: {spent} and {coming}", budget.name);
            let shown = status.budgets.iter().find(|shown| shown.name == budget.name).unwrap();
            assert!(shown.used >= u64::from(spent + coming), "{shown:?}");
            assert!(shown.floor <= shown.limit && shown.limit <= shown.ceiling);
        }
    }

    /// Until something happens. Nothing happens before the wake-up.
    fn wait(&mut self) {
        let wakeup = self.it.next_wakeup(self.now);
        assert!(wakeup.is_none_or(|at| at > self.now), "polled dry");
        let attempts = self.attempts.iter().map(|attempt| attempt.ends_at);
        let ends: Vec<_> = attempts.chain(self.fetches.iter().map(|fetch| fetch.ends_at)).collect();
        let next_input = if self.made < MESSAGES { Some(self.soon(2_000)) } else { None };
        let next = ends.into_iter().chain(wakeup).chain(next_input).min().expect("stuck");
        if let Some(wakeup) = wakeup.filter(|wakeup| *wakeup > self.now + Duration::from_millis(1)) {
            let before = next.min(wakeup - Duration::from_millis(1));
            assert_eq!(self.it.poll_start(before), None, "before its wake-up");
            assert_eq!(self.it.poll_postponed(before), None, "before its wake-up");
            assert_eq!(self.it.poll_refill(before), None, "before its wake-up");
        }
        self.now = next.max(self.now);
    }

    fn answer_fetches(&mut self) {
        let now = self.now;
        for Fetch { refill, messages, next_due_at, .. } in
            self.fetches.extract_if(.., |fetch| fetch.ends_at <= now).collect::<Vec<_>>()
        {
            if messages.is_empty() && self.random(4) == 0 {
                self.it.handle_claim_failed(&refill, now + Duration::from_secs(1));
            } else {
                self.leased.extend(messages.iter().map(|(id, _)| *id));
                self.it.handle_claimed(&refill, &messages, next_due_at, now);
            }
        }
    }

    fn verdict(&mut self) -> LaneVerdict {
        let scope = [Scope::Path, Scope::Credential, Scope::Tenant, Scope::Mailbox][self.random(4) as usize];
        let what = [
            Excess::Connections,
            Excess::Unknown,
            Excess::Of(Counted::Messages),
            Excess::Of(Counted::Recipients),
            Excess::Of(Counted::External),
        ][self.random(5) as usize];
        let wait = [None, Some(self.random(30))][self.random(2) as usize];
        match self.random(14) {
            0 => rest(self.random(20)),
            1 => pause_of(scope, "x", self.random(90)),
            2 => throttled(what, wait),
            3..6 => LaneVerdict::Neutral,
            _ => LaneVerdict::Healthy,
        }
    }

    fn end_attempts(&mut self) {
        let now = self.now;
        for Attempt { start, class, used, .. } in
            self.attempts.extract_if(.., |attempt| attempt.ends_at <= now).collect::<Vec<_>>()
        {
            let verdict = self.verdict();
            self.it.handle_attempt_ended(&start.lane, start.id, &verdict, used, now);
            self.ledger.extend(self.plan.spends(&start.lane, used, now));
            if self.random(4) == 0 {
                let due = self.soon(60_000);
                self.store.put(&start.pool, class, due, start.id);
                self.it.handle_due_at(&start.pool, class, due);
            } else {
                self.done += 1;
            }
        }
    }

    fn write_down(&mut self) {
        while let Some((key, value)) = self.it.poll_remember() {
            assert!(key.starts_with(Scheduler::REMEMBERED));
            match value {
                Some(value) => self.remembered.insert(key, value),
                None => self.remembered.remove(&key),
            };
        }
    }

    /// A kill: what was under way has spent all of its use; what was leased is in the spool.
    fn restart(&mut self) {
        self.restarts += 1;
        self.now = self.soon(90_000);
        let now = self.now;
        for Attempt { start, used, .. } in std::mem::take(&mut self.attempts) {
            self.ledger.extend(self.plan.spends(&start.lane, used, now));
            self.leased.insert(start.id);
        }
        let fetched = std::mem::take(&mut self.fetches).into_iter().flat_map(|fetch| fetch.messages);
        self.leased.extend(fetched.map(|(id, _)| id));
        self.it = Scheduler::new(SchedulerSettings { window: self.window }, self.plan.clone());
        self.it.handle_ledger(&self.ledger, now);
        self.remembered.iter().for_each(|(key, value)| self.it.handle_remembered(key, value, now));
        for id in std::mem::take(&mut self.leased) {
            let (pool, class) = self.messages[&id].clone();
            self.store.put(&pool, class, now, id);
        }
        for pool in &self.plan.pools {
            for class in [Class::Urgent, Class::New, Class::Deferred] {
                self.it.handle_due_at(&pool.name, class, now);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_stuck_lost_or_started_twice_and_limits_hold_in_any_history(seed: u64) {
        History::new(seed).play();
    }
}
