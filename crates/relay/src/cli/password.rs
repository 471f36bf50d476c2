//! `posthouse password`: the argon2id hash of a password, for the configuration file.
//!
//! In: a password, from the terminal without echo or from standard input; never from an argument, which everybody on the machine
//! can see. Out: the hash, and nothing else on standard output.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;

use super::{say, say_error};

/// Longer ones could not be given in AUTH.
const LONGEST: u64 = 1024;

/// Hash a password
///
/// Asks for a password twice, or reads one line from standard input where that is no terminal, and prints its argon2id hash for
/// `password_hash` of a user. Argument-free on purpose: arguments can be seen by everybody on the machine.
#[derive(Args)]
pub(super) struct Password {}

impl Password {
    #[expect(clippy::unused_self, reason = "like every command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let password =
            if std::io::stdin().is_terminal() { from_terminal()? } else { from_line(std::io::stdin().lock())? };
        let hash = inbound::hash_password(&password).map_err(|error| anyhow!("cannot hash: {error}"))?;
        say(hash);
        say_error("use it as: users = [{ name = \"…\", password_hash = \"…\" }] in a [[client]]");
        Ok(ExitCode::SUCCESS)
    }
}

fn from_terminal() -> anyhow::Result<String> {
    let ask = |prompt| rpassword::prompt_password(prompt).context("cannot read from the terminal");
    let password = ask("Password: ")?;
    if ask("Again: ")? != password {
        bail!("the two are not the same: nothing was hashed");
    }
    usable(password)
}

/// One line, without its end.
fn from_line(input: impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    input.take(LONGEST + 2).read_line(&mut line).context("cannot read the password from standard input")?;
    usable(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn usable(password: String) -> anyhow::Result<String> {
    if password.is_empty() {
        bail!("the password is empty");
    }
    if password.len() as u64 > LONGEST || password.contains('\0') {
        bail!("the password is longer than {LONGEST} octets, or has a NUL: no client could log in with it");
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_password_without_its_end_and_nothing_after_it() {
        for (input, expected) in
            [("one\ntwo\n", Some("one")), ("one\r\n", Some("one")), (" one ", Some(" one ")), ("\n", None)]
        {
            assert_eq!(from_line(input.as_bytes()).ok().as_deref(), expected, "{input:?}");
        }
        assert!(from_line("x".repeat(2000).as_bytes()).is_err());
    }
}
