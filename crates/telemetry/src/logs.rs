//! Logs: for people on a terminal, JSON otherwise; under journald without the time, which it adds itself.
//!
//! To stderr, so that stdout stays free for what a command prints. Colour only on a terminal and without `NO_COLOR`.

use std::fmt;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    Human,
    /// One object a line.
    Json,
}

impl LogFormat {
    /// For people if stderr is a terminal, JSON otherwise.
    pub fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Human } else { Self::Json }
    }
}

/// Installs the subscriber: to stderr, filtered by `filter` (`info`, `posthouse=debug,…`).
/// Errors: the filter cannot be read, or a subscriber is installed already.
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| format!("log filter `{filter}`: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    match format {
        LogFormat::Human => {
            lines.with_timer(Stamp::of(journal, "%H:%M:%S%.3f")).with_target(false).with_ansi(colour()).try_init()
        }
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_timer(Stamp::of(journal, "%Y-%m-%dT%H:%M:%S%.3f%:z"))
            .try_init(),
    }
    .map_err(|error| error.to_string())
}

fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes the time in the local zone by `strftime`, or nothing.
#[derive(Clone, Copy)]
struct Stamp(Option<&'static str>);

impl Stamp {
    fn of(journal: bool, pattern: &'static str) -> Self {
        Self((!journal).then_some(pattern))
    }
}

impl FormatTime for Stamp {
    #[expect(clippy::disallowed_methods, reason = "a log line bears the time at which it was written, also in tests")]
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let Some(pattern) = self.0 else { return Ok(()) };
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::system());
        write!(w, "{}", now.strftime(pattern))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let error = init_logs(LogFormat::Json, "posthouse=louder").unwrap_err();
        assert!(error.contains("posthouse=louder"), "{error}");
    }

    #[test]
    fn the_stamp_is_the_time_of_day_and_under_journald_nothing() {
        let written = |stamp: Stamp| {
            let mut text = String::new();
            stamp.format_time(&mut Writer::new(&mut text)).unwrap();
            text
        };
        let text = written(Stamp::of(false, "%H:%M:%S%.3f"));
        assert_eq!(text.len(), "12:00:00.000".len(), "{text}");
        assert_eq!(written(Stamp::of(true, "%H:%M:%S%.3f")), "");
    }
}
