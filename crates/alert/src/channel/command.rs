//! A program that is started for each bulletin, which comes as JSON on its standard input.
//!
//! Exit status 0: told. Never: a shell, a word of a notice on the command line or in the environment, a program that lives
//! longer than its time.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::info;

use super::{Failure, Sender, unix};
use crate::notice::{Bulletin, line};

const LARGEST_INPUT: usize = 256 * 1024;
const LONGEST_WORDS: usize = 4096;
const LONGEST_LINE: usize = 300;
/// For what its own children may still say when it has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A program and its arguments.
pub(crate) struct Command {
    command: Vec<String>,
    limit: Duration,
}

impl Command {
    pub(crate) fn new(command: Vec<String>, limit: Duration) -> Self {
        Self { command, limit }
    }

    fn start(&self) -> Result<Child, Failure> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Failure::seldom("the command is empty", "name a program: `command = [\"/path/to/program\"]`"));
        };
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command.env_clear().envs(environment());
        unix::lead_group(&mut command);
        command.spawn().map_err(|error| {
            let hint =
                "check that the program exists and may be run by the relay's user (its full path; no shell is used)";
            Failure::seldom(format!("cannot start {program}: {error}"), hint)
        })
    }
}

#[async_trait]
impl Sender for Command {
    async fn send(&self, bulletin: &Bulletin) -> Result<(), Failure> {
        let mut child = self.start()?;
        let leader = child.id();
        let input = bulletin.fitted(LARGEST_INPUT, Bulletin::json);
        let feeding = child.stdin.take().map(|stdin| tokio::spawn(feed(stdin, input)));
        let (tell, words) = oneshot::channel();
        let listening = child.stderr.take().map(|stderr| tokio::spawn(listen(stderr, tell)));
        let ended = timeout(self.limit, child.wait()).await;
        if ended.is_err() {
            leader.into_iter().for_each(unix::kill_group);
            let _ = child.kill().await;
        }
        let words = timeout(LAST_WORDS, words).await.ok().and_then(Result::ok).unwrap_or_default();
        feeding.into_iter().chain(listening).for_each(|task| task.abort());
        self.judge(ended.ok(), &words)
    }
}

impl Command {
    fn judge(&self, ended: Option<std::io::Result<ExitStatus>>, words: &str) -> Result<(), Failure> {
        let program = self.command.first().map(String::as_str).unwrap_or_default();
        let said = if words.is_empty() { String::new() } else { format!(": {words}") };
        let hint = "run the command by hand with a notice on its standard input; it must end with status 0 in time";
        match ended {
            Some(Ok(status)) if status.success() => {
                if !words.is_empty() {
                    info!(program, "the alert command said: {words}");
                }
                Ok(())
            }
            Some(Ok(status)) => Err(Failure::soon(format!("{program} ended with {status}{said}"), hint)),
            Some(Err(error)) => Err(Failure::soon(format!("{program} cannot be waited for: {error}"), hint)),
            None => {
                let limit = self.limit.as_secs_f64();
                Err(Failure::soon(format!("{program} was killed: it did not end within {limit} s{said}"), hint))
            }
        }
    }
}

/// Whatever it does not read is its own affair.
async fn feed(mut stdin: ChildStdin, input: String) {
    let _ = stdin.write_all(input.as_bytes()).await;
    let _ = stdin.write_all(b"\n").await;
}

/// Tells the first line as soon as it is there, and reads the rest so that the program is not held up.
async fn listen(mut stderr: ChildStderr, tell: oneshot::Sender<String>) {
    let (mut said, mut piece, mut tell) = (Vec::new(), [0; 1024], Some(tell));
    loop {
        let read = stderr.read(&mut piece).await.unwrap_or(0);
        let room = LONGEST_WORDS - said.len();
        said.extend(piece.iter().take(read.min(room)));
        let whole = read == 0 || said.len() == LONGEST_WORDS;
        if let Some(line) = first_line(&said, whole).filter(|_| tell.is_some()) {
            tell.take().map(|tell| tell.send(line));
        }
        if read == 0 {
            return;
        }
    }
}

/// The first line with anything on it, once its end is there.
fn first_line(said: &[u8], whole: bool) -> Option<String> {
    let text = String::from_utf8_lossy(said);
    let ended = text.split_inclusive('\n').filter(|line| whole || line.ends_with('\n'));
    let first = ended.map(str::trim).find(|line| !line.is_empty());
    first.or(whole.then_some("")).map(|first| line(first, LONGEST_LINE))
}

/// Enough to find other programs.
#[cfg(unix)]
fn environment() -> Vec<(&'static str, std::ffi::OsString)> {
    vec![("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()), ("LANG", "C.UTF-8".into())]
}

/// What programs of Windows do not start without.
#[cfg(not(unix))]
fn environment() -> Vec<(&'static str, std::ffi::OsString)> {
    let kept = ["PATH", "SystemRoot", "TEMP", "PATHEXT"];
    kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::notice::samples;

    async fn run(script: &str, limit: Duration) -> Result<(), Failure> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Command::new(command, limit).send(&samples::bulletin(vec![samples::opened()])).await
    }

    const AMPLE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn it_reads_the_documented_json_and_sees_no_environment_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (input, seen) = (dir.path().join("input"), dir.path().join("environment"));
        run(&format!("cat > {}; env > {}", input.display(), seen.display()), AMPLE).await.unwrap();
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(input).unwrap()).unwrap();
        assert_eq!((&value["version"], &value["kind"]), (&1.into(), &"breaker".into()));
        let seen = std::fs::read_to_string(seen).unwrap();
        assert!(!seen.contains("CARGO") && !seen.contains("HOME="), "{seen}");
    }

    #[tokio::test]
    async fn one_that_does_not_read_its_input_but_succeeds_is_fine() {
        run("exit 0", AMPLE).await.unwrap();
    }

    #[tokio::test]
    async fn a_failure_is_told_with_the_first_line_that_it_said() {
        let failure = run("echo; echo no route to pager >&2; echo second >&2; exit 3", AMPLE).await.unwrap_err();
        assert_eq!(failure.what, "/bin/sh ended with exit status: 3: no route to pager");
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let ids = dir.path().join("ids");
        let script = format!("sleep 1000 & echo $! > {}; wait", ids.display());
        // It writes its file within the second, or the file is not there and the test says so.
        let failure = run(&script, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(failure.what, "/bin/sh was killed: it did not end within 1 s");
        let child: i32 = std::fs::read_to_string(ids).unwrap().trim().parse().unwrap();
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        let ended = async {
            while !gone() {
                tokio::task::yield_now().await;
            }
        };
        timeout(AMPLE, ended).await.expect("what it started is gone");
    }

    #[tokio::test]
    async fn a_grandchild_that_holds_its_standard_error_holds_nothing_up() {
        let failure = run("sleep 3 & echo it is so >&2; exit 1", AMPLE).await.unwrap_err();
        assert_eq!(failure.what, "/bin/sh ended with exit status: 1: it is so");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let command = Command::new(vec!["/nowhere/pager".to_owned()], AMPLE);
        let failure = command.send(&samples::bulletin(vec![samples::opened()])).await.unwrap_err();
        assert!(failure.what.starts_with("cannot start /nowhere/pager: "), "{failure:?}");
        assert_eq!(failure.again, super::super::Again::Seldom);
    }
}
