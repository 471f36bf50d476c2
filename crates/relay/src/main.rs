//! The binary `posthouse`: reads the command line, and is the only place where all parts are wired together.

mod cli;
mod devices;
mod notices;
mod outlook;
mod relay;
mod system;
mod watch;

fn main() -> std::process::ExitCode {
    cli::main()
}
