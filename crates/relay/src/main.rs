//! The binary `posthouse`: reads the command line, and is the only place where all parts are wired together.

mod cli;
mod devices;
#[cfg(test)]
#[allow(dead_code, reason = "the doctor's tests ask it more")]
#[path = "../../doctor/tests/it/server.rs"]
mod dns_server;
mod notices;
mod outlook;
mod policies;
mod relay;
mod system;
mod watch;

fn main() -> std::process::ExitCode {
    cli::main()
}
