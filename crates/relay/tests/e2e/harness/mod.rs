//! Starts the binary in a directory of its own and talks to it. No fixed ports, no sleeping for a result: everything is
//! waited for, with a generous end.

pub(crate) mod dns;
pub(crate) mod sink;
pub(crate) mod smtp;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Far more than anything here takes, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_posthouse")
}

/// Waits until `probe` gives something.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    #[expect(clippy::disallowed_methods, reason = "a real process is waited for")]
    let now = Instant::now;
    let end = now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The lines that a process writes to standard error, as they come.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<String>,
    over: bool,
}

impl Log {
    fn follow(stderr: impl std::io::Read + Send + 'static) -> Self {
        let log = Self::default();
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                writer.0.lines.lock().unwrap().all.push(line);
                writer.0.changed.notify_all();
            }
            writer.0.lines.lock().unwrap().over = true;
            writer.0.changed.notify_all();
        });
        log
    }

    /// The first line, from the beginning, that `pick` takes.
    pub(crate) fn wait_for<T>(&self, what: &str, pick: impl Fn(&Value) -> Option<T>) -> T {
        let mut seen = 0;
        let mut lines = self.0.lines.lock().unwrap();
        loop {
            while let Some(line) = lines.all.get(seen) {
                seen += 1;
                if let Some(found) = serde_json::from_str(line).ok().and_then(|line: Value| pick(&line)) {
                    return found;
                }
            }
            assert!(!lines.over, "the process ended before it logged: {what}\n{}", lines.all.join("\n"));
            let (next, late) = self.0.changed.wait_timeout(lines, PATIENCE).unwrap();
            lines = next;
            assert!(!late.timed_out(), "not logged: {what}\n{}", lines.all.join("\n"));
        }
    }

    pub(crate) fn text(&self) -> String {
        self.0.lines.lock().unwrap().all.join("\n")
    }
}

/// However long a test takes, no relay asks the machine's DNS about its sender domains: at a start this is added to a file that
/// does not say whom to ask.
pub(crate) const NO_DNS: &str = "\n[dns]\nwarn = false\n";

fn keep_off_the_dns(config: &Path) {
    let text = std::fs::read_to_string(config).unwrap();
    if !text.contains("[dns]") {
        std::fs::write(config, text + NO_DNS).unwrap();
    }
}

/// A running `posthouse serve`.
pub(crate) struct Relay {
    child: Child,
    pub(crate) config: PathBuf,
    pub(crate) log: Log,
}

impl Relay {
    /// Starts it with this file and waits until it takes mail.
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_with(config, |_| {})
    }

    pub(crate) fn start_with(config: &Path, adjust: impl FnOnce(&mut Command)) -> Self {
        keep_off_the_dns(config);
        let mut command = Command::new(binary());
        command
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        adjust(&mut command);
        let mut child = command.spawn().unwrap();
        let log = Log::follow(child.stderr.take().unwrap());
        let relay = Self { child, config: config.to_owned(), log };
        relay.address(0);
        relay
    }

    /// Starts it through another program that ends by becoming it; the first line of its standard output is a port.
    pub(crate) fn start_by(program: &str, arguments: &[&str], config: &Path) -> (Self, u16) {
        keep_off_the_dns(config);
        let mut command = Command::new(program);
        command.args(arguments).args([binary(), "serve", "--config"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Log::follow(child.stderr.take().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self { child, config: config.to_owned(), log }, line.trim().parse().unwrap())
    }

    /// Where the n-th listener listens.
    pub(crate) fn address(&self, n: usize) -> SocketAddr {
        let count = std::cell::Cell::new(0);
        self.log.wait_for("taking mail", |line| {
            (line["message"] == "taking mail" && count.replace(count.get() + 1) == n)
                .then(|| line["address"].as_str().unwrap().parse().unwrap())
        })
    }

    /// Where the listener of this name listens; listeners come up in any order.
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        self.log.wait_for("taking mail", |line| {
            (line["message"] == "taking mail" && line["listener"] == name)
                .then(|| line["address"].as_str().unwrap().parse().unwrap())
        })
    }

    /// Where metrics and health are.
    pub(crate) fn http(&self) -> SocketAddr {
        self.log.wait_for("metrics over HTTP", |line| {
            (line["message"] == "metrics and health over HTTP")
                .then(|| line["address"].as_str().unwrap().parse().unwrap())
        })
    }

    /// Runs a command against it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        command(&[arguments, &["--config", self.config.to_str().unwrap()]].concat())
    }

    /// Its standard output as JSON; the command must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn counters(&self) -> Value {
        self.json(&["status", "--json"])["counters"].clone()
    }

    /// Waits until nothing is queued.
    pub(crate) fn drained(&self) -> Value {
        eventually("the queue is empty", || Some(self.counters()).filter(|counters| counters["queued"] == 0))
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and wait for the end.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        self.signal("TERM");
        eventually("the relay has stopped", || self.child.try_wait().unwrap())
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end.
pub(crate) fn command(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// A directory with a configuration for a smart host without TLS, the simplest next hop.
pub(crate) fn smart_host(next_hop: SocketAddr, more: &str) -> (tempfile::TempDir, PathBuf) {
    let text = format!(
        r#"
        hostname = "relay.contoso.test"
        data_dir = "data"
        [[listener]]
        address = "127.0.0.1:0"
        [[client]]
        name = "devices"
        networks = ["127.0.0.0/8"]
        senders = ["*@contoso.test"]
        [[tenant]]
        name = "contoso"
        id = "contoso.test"
        domains = ["contoso.test"]
        [[tenant.path]]
        name = "next"
        kind = "smarthost"
        address = "{next_hop}"
        tls = "none"
        {more}
        "#
    );
    directory_with(&text)
}

pub(crate) fn directory_with(configuration: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("posthouse.toml");
    std::fs::write(&file, configuration).unwrap();
    (directory, file)
}
