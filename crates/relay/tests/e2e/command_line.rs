//! `check`, `--help`, and what the command line says when it is used wrongly.

use crate::harness::{command, directory_with};

#[test]
fn check_names_every_error_with_its_line_and_a_hint() {
    let (_directory, config) = directory_with(
        "hostname = \"relay.contoso.test\"\n[[listener]]\naddress = \"127.0.0.1:99999\"\nfoo = 1\n\
         [[client]]\nname = \"all\"\nnetworks = [\"0.0.0.0/0\"]\n",
    );
    let output = command(&["check", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["posthouse.toml:3: ", "posthouse.toml:4: ", "posthouse.toml:7: ", "hint: ", "errors"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn serve_refuses_a_configuration_that_would_be_an_open_relay() {
    let (_directory, config) = crate::harness::smart_host("127.0.0.1:9".parse().unwrap(), "");
    let text = std::fs::read_to_string(&config).unwrap().replace("127.0.0.0/8", "0.0.0.0/0");
    std::fs::write(&config, text).unwrap();
    let output = command(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("open relay"), "{output:?}");
}

#[test]
fn every_subcommand_has_help_that_says_what_it_does() {
    for subcommand in [
        "serve", "demo", "sandbox", "check", "status", "queue", "message", "retry", "hold", "release", "remove",
        "spool", "explain", "alert", "dkim", "try", "domain", "password",
    ] {
        let output = command(&[subcommand, "--help"]);
        assert!(output.status.success());
        assert!(output.stdout.len() > 200, "{subcommand}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_ten_lines_of_the_readme_are_a_good_configuration() {
    let readme = include_str!("../../../../README.md");
    let start = readme.find("   [[listener]]").unwrap();
    let text = &readme[start..start + readme[start..].find("```").unwrap()];
    let check = |text: &str| {
        let (directory, config) = directory_with(text);
        std::fs::write(directory.path().join("secret"), "a secret").unwrap();
        command(&["check", "--config", config.to_str().unwrap()])
    };
    // The one thing left to fill in: forgotten, it is told of.
    let forgotten = check(text);
    assert_eq!(forgotten.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&forgotten.stdout).contains("`client_id` is no application id"), "{forgotten:?}");
    let output = check(&text.replace("client_id = \"…\"", "client_id = \"66666666-7777-8888-9999-000000000000\""));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
