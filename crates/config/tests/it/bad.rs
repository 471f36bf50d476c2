//! What is said about bad files: all of it at once, each with its line and its remedy.

use crate::{TEN_LINES, directory, parse};

/// `changes`: lines of the ten (by their beginning) and what stands there instead. `expected`: what is said, without the file's
/// name; `DIR` stands for the directory.
pub(crate) fn check(changes: &[(&str, &str)], expected: &str) {
    let dir = directory();
    let mut text = TEN_LINES.to_owned();
    for (line, instead) in changes {
        let old = text.lines().find(|l| l.starts_with(line)).unwrap_or_else(|| panic!("no line {line}")).to_owned();
        text = text.replace(&old, instead);
    }
    check_text(&text, dir.path(), expected);
}

fn check_text(text: &str, dir: &std::path::Path, expected: &str) {
    let said = match parse(text, dir) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string().replace("posthouse.toml:", "").replace(&dir.display().to_string(), "DIR"),
    };
    assert_eq!(said.trim(), expected.trim(), "\n--- said:\n{said}\n--- of:\n{text}");
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    check(
        &[("hostname", "hostnam = \"relay.contoso.com\"")],
        "1: unknown key `hostnam` in the file; did you mean `hostname`?",
    );
    check(
        &[("networks", "users = [{ name = \"erp\", pasword = { file = \"erp.pass\" } }]")],
        "
6: unknown key `pasword` in users; did you mean `password`?",
    );
    check(&[("[[listener]]", "[[listner]]")], "2: unknown key `listner` in the file; did you mean `listener`?");
    check(
        &[("address", "address = \"0.0.0.0:25\"\ncolour = \"blue\"")],
        "
4: unknown key `colour` in [[listener]]
  hint: keys known here: name, address, tls, auth_without_tls",
    );
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_lines() {
    check(
        &[
            ("address", "address = \"0.0.0.0\"\ntls = \"requird\""),
            ("networks", "networks = [\"10.20.0.0/33\", 7]"),
            ("senders", "senders = [\"*@fabrikam.com\"]"),
            ("domains", "domains = \"contoso.com\""),
            ("path", "path = [{ kind = \"submission\", connections = 0 }]"),
        ],
        "
3: `address` is not an IP address with a port: \"0.0.0.0\"
  hint: for example \"0.0.0.0:25\", \"[::]:465\" or \"127.0.0.1:8025\"
4: `tls` cannot be \"requird\"; did you mean \"required\"?
  hint: known here: \"none\", \"opportunistic\", \"required\", \"implicit\"
7: `networks` is not a network: \"10.20.0.0/33\"
  hint: for example \"10.20.0.0/16\", \"fd00::/8\" or \"10.20.0.7\"
7: `networks` must be a network in quotes, not an integer
8: `senders` has \"*@fabrikam.com\", but there is no domain fabrikam.com in any tenant's `domains`
  hint: mail from there would have no way out: add the domain to its tenant, or name the `tenant` it goes by
12: `domains` must be a list, not a string
14: a path of kind \"submission\" needs its `mailbox`
  hint: mailbox = \"relay@contoso.com\": the mailbox that the relay logs in as
14: `connections` must be a whole number from 1 to 1000",
    );
}

#[test]
fn what_is_not_built_yet_is_said_and_not_ignored() {
    check(
        &[(
            "path",
            "path = [{ kind = \"connector\" }, { kind = \"submission\", mailbox = \"relay@contoso.com\", priority = 9 }]\n[spool]\nkind = \"postgres\"\n[route]\nkey = \"x\"",
        )],
        "
13: `kind` = \"connector\" is not supported by this version yet
  hint: known here: \"submission\", \"smarthost\"
13: `priority` in [[tenant.path]] is not supported by this version yet
  hint: take it out; a key that does nothing would only look as if it did
15: `kind` = \"postgres\" is not supported by this version yet
  hint: known here: \"embedded\"
16: `route` in the file is not supported by this version yet
  hint: take it out; a key that does nothing would only look as if it did",
    );
}

#[test]
fn what_is_missing_is_named_where_it_belongs() {
    check_text(
        "hostname = \"relay.contoso.com\"\n[[listener]]\n[[tenant]]\nname = \"contoso\"\n",
        directory().path(),
        "
2: [[listener]] needs the key `address`
  hint: for example: address = \"0.0.0.0:25\"
3: [[tenant]] needs the key `domains`
  hint: for example: domains = [\"contoso.com\"]
3: the tenant has no `path`: its mail has nowhere to go
  hint: add: path = [{ kind = \"submission\", mailbox = \"relay@contoso.com\" }]",
    );
    check_text(
        "hostname = \"relay.contoso.com\"\n",
        directory().path(),
        "
 there is no [[listener]]
  hint: add: [[listener]] address = \"0.0.0.0:25\"
 there is no [[tenant]]
  hint: add [[tenant]] with name, id, domains, credential and path: mail must have somewhere to go",
    );
}

#[test]
fn text_that_is_no_toml_is_shown_where() {
    check_text(
        "hostname = relay.contoso.com\n",
        directory().path(),
        "
1: this is not TOML: string values must be quoted, expected literal string
  hint: see https://toml.io for its form",
    );
}

#[test]
fn an_open_relay_is_refused_with_the_reason() {
    check(
        &[("networks", "networks = [\"10.0.0.0/8\", \"0.0.0.0/0\"]")],
        "
6: client \"printers\" would make an open relay: 0.0.0.0/0 is public, and whoever comes from there would need no login; name single addresses, or demand more (match = \"network and user\")
  hint: anybody on the Internet could send mail as you; name only the addresses of your own devices",
    );
    check(
        &[("networks", "")],
        "
4: a client needs `networks`, `users` or `certificates`: this one is nobody
  hint: networks = [\"10.20.0.0/16\"], or users = [{ name = \"erp\", password = { file = \"erp.pass\" } }]",
    );
    check(
        &[("networks", "networks = [\"10.0.0.0/8\"]\nrequire_both = true")],
        "
7: `require_both` in [[client]] is no more
  hint: in place of require_both = true write match = \"network and user\"",
    );
}

#[test]
fn names_and_domains_are_claimed_once() {
    let dir = directory();
    let text = format!(
        "{TEN_LINES}{{ kind }}[[client]]\nname = \"printers\"\nnetworks = [\"10.1.0.0/16\"]\n[[listener]]\naddress = \"0.0.0.0:25\"\n[[tenant]]\nname = \"contoso\"\ndomains = [\"CONTOSO.com\"]\npath = [{{ kind = \"smarthost\", address = \"a.example\" }}]\n"
    )
    .replace("{ kind }", "");
    check_text(
        &text,
        dir.path(),
        "
15: two clients have the name \"printers\"
  hint: each has its own
18: two listeners have the name or address \"0.0.0.0:25\"
  hint: each has its own
20: two tenants have the name \"contoso\"
  hint: each has its own
21: the domain contoso.com is claimed twice
  hint: a sender domain goes by one tenant: take it out of the other's `domains`",
    );
}

#[test]
fn files_must_be_there_and_be_what_they_should() {
    check(
        &[("credential", "credential = { client_id = \"x\", client_secret = { file = \"nowhere\" } }")],
        "
12: cannot read the secret file DIR/nowhere: No such file or directory (os error 2)
  hint: one line, readable by the user that the relay runs as",
    );
    check(
        &[("credential", "credential = { client_id = \"x\", client_secret = { file = \"empty\" } }")],
        "
12: the secret from the file DIR/empty is empty, larger than 64 KiB or not UTF-8
  hint: one line, readable by the user that the relay runs as",
    );
    check(
        &[("credential", "credential = { client_id = \"x\", certificate = \"app.pem\", key = \"relay.key\" }")],
        "
12: DIR/relay.key is not the key of DIR/app.pem: keys may not be consistent: KeyMismatch
  hint: the server's certificate stands first in its file, then the chain",
    );
    check(
        &[("hostname", "hostname = \"relay.contoso.com\"\ntls = { certificate = \"no.pem\", key = \"nowhere.key\" }")],
        "
2: DIR/no.pem holds no certificate in PEM form
  hint: it starts with -----BEGIN CERTIFICATE-----; DER and PFX files must be converted
2: cannot read DIR/nowhere.key: No such file or directory (os error 2)
  hint: the path is relative to the configuration file; the relay's user must be able to read it",
    );
    check(
        &[("hostname", "hostname = \"relay.contoso.com\"\ntls = { certificate = \"relay.pem\" }")],
        "
2: [tls] needs both `certificate` and `key`
  hint: without either, a self-signed one is made",
    );
}

#[test]
fn credentials_are_whole_or_not_there() {
    check(
        &[("credential", "credential = { client_id = \"x\" }"), ("id = ", "")],
        "
12: `credential` needs either `client_secret`, or `certificate` and `key`
  hint: client_secret = { file = \"secret\" }, or certificate = \"app.pem\" and key = \"app.key\"
12: a tenant with a `credential` needs its `id`
  hint: the directory (tenant) id from the application's overview page, or a verified domain such as \"contoso.onmicrosoft.com\"",
    );
    check(
        &[("credential", "")],
        "
13: this path logs in with a token, but its tenant has no `credential`
  hint: credential = { client_id = \"…\", client_secret = { file = \"secret\" } }, or `username` and `password` in the path",
    );
    check(
        &[("credential", "credential = { client_id = \"x\", client_secret = { file = \"secret\", env = \"X\" } }")],
        "
12: `client_secret` must say in exactly one way where the secret is
  hint: { file = \"…\" }, { env = \"…\" }, { credential = \"…\" }, or the secret itself in quotes",
    );
    check(
        &[("networks", "users = [{ name = \"erp\", password_hash = \"hunter2\" }]")],
        "
6: `password_hash` is not an argon2id hash
  hint: it starts with \"$argon2id$v=19$\"; `posthouse password` makes one",
    );
}

#[test]
fn a_placeholder_is_no_application_id() {
    check(
        &[("credential", "credential = { client_id = \"…\", client_secret = { file = \"secret\" } }")],
        "
12: `client_id` is no application id: \"…\"
  hint: the application (client) id from the application's overview page",
    );
}

#[test]
fn a_login_never_crosses_an_unverified_link() {
    check(
        &[(
            "path",
            "path = [{ kind = \"smarthost\", address = \"h.example\", tls = \"opportunistic\", username = \"u\", password = { file = \"secret\" } }]",
        )],
        "
13: this path logs in, but its TLS is not verified: whoever is on the way could read the login
  hint: tls = \"required\" or \"implicit\", with `ca` if the server's certificate is not publicly trusted",
    );
    check(
        &[("path", "path = [{ kind = \"smarthost\", username = \"u\" }]")],
        "
13: a path of kind \"smarthost\" needs its `address`
  hint: address = \"exchange.example:25\"
13: `username` and `password` go together
  hint: add the other, or take this one out",
    );
    check(
        &[("path", "path = [{ kind = \"submission\", mailbox = \"relay@contoso.com\", address = \"h.example\" }]")],
        "
13: `address` belongs to paths of kind \"smarthost\"
  hint: [tenant.endpoints] has `submission` and `ca`; TLS is always required there",
    );
}

#[test]
fn units_and_ranges_are_held() {
    check(
        &[(
            "hostname",
            "hostname = \"relay.contoso.com\"\n[limits]\nmessage_size = \"151 MiB\"\ncommand_timeout = 5\nrecipients = \"many\"\nhops = 0\n[queue]\nretry = []\nexpire = \"3 moons\"",
        )],
        "
3: `message_size` must lie between 1 KiB and 150 MiB
  hint: choose a value in that range, or leave the key out for its default
4: `command_timeout` must be a duration with its unit, not an integer
  hint: durations look like \"30s\", \"15m\", \"1h 30m\" or \"3d\"
5: `recipients` must be a whole number from 1 to 10000, not a string
6: `hops` must be a whole number from 1 to 1000
8: `retry` is empty
  hint: give at least one wait, for example [\"1m\", \"15m\", \"1h\"]
9: `expire` is not a duration: \"3 moons\"
  hint: durations look like \"30s\", \"15m\", \"1h 30m\" or \"3d\"",
    );
    check(
        &[("networks", "networks = [\"10.20.0.0/16\"]\nsize = \"36 MiB\"")],
        "
7: `size` is over the limit of all clients, which is 35 MiB
  hint: raise `message_size` in [limits], or lower this",
    );
}

#[test]
fn a_name_that_no_host_can_have_is_refused() {
    check(
        &[("hostname", "hostname = \"relay_1.contoso.com\"")],
        "
1: `hostname` is not a host name: \"relay_1.contoso.com\"
  hint: the relay's full name in DNS, for example \"relay.contoso.com\"",
    );
}

#[test]
#[cfg(unix)]
fn a_socket_path_that_no_system_takes_is_refused() {
    let long = "x".repeat(110);
    check(
        &[("hostname", &format!("hostname = \"relay.contoso.com\"\nadmin = {{ socket = \"/{long}\" }}"))],
        &format!(
            "
2: the admin socket's path /{long} is longer than 107 octets
  hint: [admin] socket = \"/run/posthouse/admin.sock\""
        ),
    );
}

#[test]
fn no_secret_is_ever_said() {
    let dir = directory();
    let text = TEN_LINES.replace("{ file = \"secret\" }", "\"hunter2\"");
    let config = parse(&text, dir.path()).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn criteria_and_match_must_speak_of_the_same_and_of_something() {
    check(
        &[("networks", "networks = [\"10.20.0.0/16\"]\nhelo = [\"a.b\"]\nmatch = \"network and user\"")],
        "
8: `match` speaks of user, but there are no `users`
  hint: add `users`, or take user out of `match`
8: `match` says nothing of helo, but `helo` is given
  hint: use helo in `match`, or take `helo` out",
    );
    check(
        &[("networks", "networks = [\"10.20.0.0/16\"]\nmatch = \"network und user\"")],
        "
7: `match` cannot be \"network und user\": `und` is none of network, user, certificate, helo and listener, nor `and`, `or`
  hint: the words network, user, certificate, helo and listener with `and`, `or` and parentheses, for example \"network and (user or certificate)\"",
    );
    check(
        &[("networks", "helo = [\"a.b\"]\nlisteners = [\"offce\"]\nmatch = \"helo and listener\"")],
        "
4: a client needs `networks`, `users` or `certificates`: this one is nobody
  hint: networks = [\"10.20.0.0/16\"], or users = [{ name = \"erp\", password = { file = \"erp.pass\" } }]
7: `listeners` has \"offce\", but no [[listener]] has this name
  hint: there are: 0.0.0.0:25
8: client \"printers\" would make an open relay: match = \"helo and listener\" lets in whoever gives the right name in EHLO or comes to the right listener, and that proves nothing; demand network, user or certificate as well
  hint: anybody on the Internet could send mail as you; name only the addresses of your own devices",
    );
}

#[test]
fn two_clients_that_fit_alike_are_refused_with_both_lines() {
    check(
        &[("senders", "[[client]]\nname = \"copiers\"\nnetworks = [\"10.0.0.0/8\", \"10.20.0.0/16\"]")],
        "
7: the clients \"printers\" (line 4) and \"copiers\" match some clients equally, by network: neither is the more specific one
  hint: let one of them ask for more: a narrower network, a user, a listener; or make them one",
    );
    check(&[("senders", "[[client]]\nname = \"copiers\"\nnetworks = [\"10.0.0.0/8\"]")], "");
}

#[test]
fn names_of_certificates_need_somebody_who_vouches_for_them() {
    check(
        &[("networks", "certificates = [\"p.contoso.com\", \"sha256:AB\"]")],
        "
6: `certificates` has the name \"p.contoso.com\", but nobody vouches for names
  hint: [tls] client_ca = \"devices-ca.pem\": whoever makes your devices' certificates; or \"sha256:…\" of this one
6: `certificates` is not a certificate: `AB` is not a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons
  hint: its fingerprint, \"sha256:AB:CD:…\" (`openssl x509 -noout -fingerprint -sha256`), or a name in it, \"printer.contoso.com\" or \"*.contoso.com\"",
    );
    check(
        &[
            ("networks", "certificates = [\"p.contoso.com\"]"),
            ("address", "address = \"0.0.0.0:25\"\ntls = \"none\"\n[tls]\nclient_ca = \"no.pem\""),
        ],
        "
6: DIR/no.pem holds no certificate in PEM form
  hint: it starts with -----BEGIN CERTIFICATE-----; DER and PFX files must be converted
9: `certificates` needs TLS, and no listener that this client may come to offers it
  hint: tls = \"opportunistic\" in a [[listener]]",
    );
}

#[test]
fn ways_maps_and_limits_of_clients_are_checked() {
    check(
        &[(
            "senders",
            "tenant = \"fabrikam\"\nrecipient_map = { \"old\" = \"new@contoso.com\", \"a@b.c\" = 7 }\nrecipients_per_message = 501\nurgent = true",
        )],
        "
7: `tenant` is \"fabrikam\", but no [[tenant]] has this name
  hint: there are: contoso
8: `recipient_map`: `old` is neither user@domain nor *@domain
  hint: \"old@contoso.com\" = \"new@contoso.com\", or \"*@old.example\" = \"*@contoso.com\"
8: `a@b.c` must be a text in quotes, not an integer
9: `recipients_per_message` is over the limit of all clients, which is 500
  hint: raise `recipients` in [limits], or lower this
10: `urgent` in [[client]] is no more
  hint: in place of urgent = true write priority = \"urgent\"",
    );
    check(
        &[("senders", "senders = [\"*@fabrikam.com\"]\npath = \"on-premises\"")],
        "
8: `path` is \"on-premises\", but the tenant \"contoso\" has no such path
  hint: there are: submission/relay@contoso.com",
    );
}
