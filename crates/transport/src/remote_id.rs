//! The id under which a next hop knows the message from now on, as its reply to the final dot gives it.
//!
//! Microsoft's submission: `OK <new-message-id> [Hostname=…]`; its MX hosts: `<message-id> [InternalId=…, Hostname=…] …`.
//! Postfix: `Ok: queued as X`. Exim: `OK id=X`. Sendmail: `X Message accepted for delivery`. Others: `OK X`.

use smtp::Reply;

/// Longer ones are no ids.
const LONGEST: usize = 255;

/// `None` where the reply names none that we would know.
pub(crate) fn remote_id(reply: &Reply) -> Option<String> {
    let text = reply.text();
    let id = bracketed(&text)
        .or_else(|| after(&text, "queued as "))
        .or_else(|| after(&text, "id="))
        .or_else(|| before(&text, " Message accepted for delivery"))
        .or_else(|| after_ok(&text))?;
    let sound = !id.is_empty() && id.len() <= LONGEST && id.chars().all(|c| !c.is_control() && !c.is_whitespace());
    sound.then(|| id.to_owned())
}

/// `<…>` with Microsoft's brackets behind it.
fn bracketed(text: &str) -> Option<&str> {
    let (id, rest) = text.split_once('<')?.1.split_once('>')?;
    let rest = rest.trim_start();
    (rest.starts_with("[Hostname=") || rest.starts_with("[InternalId=")).then_some(id)
}

fn after<'t>(text: &'t str, marker: &str) -> Option<&'t str> {
    let at = find_word(text, marker)?;
    first_word(text.get(at + marker.len()..)?)
}

fn before<'t>(text: &'t str, marker: &str) -> Option<&'t str> {
    text.split_once(marker)?.0.split_whitespace().next_back()
}

/// A word that looks like an id: with a digit in it, so that `OK thanks` names none.
fn after_ok(text: &str) -> Option<&str> {
    let (ok, rest) = text.trim_start().split_at_checked(2)?;
    let rest = rest.trim_start_matches([':', ',']);
    let word = first_word(rest)?;
    let separate = rest.len() < text.trim_start().len() - 2 || rest.starts_with(' ');
    let id = ok.eq_ignore_ascii_case("ok") && separate && word.len() >= 4 && word.bytes().any(|b| b.is_ascii_digit());
    id.then_some(word)
}

/// Without the punctuation around it.
fn first_word(text: &str) -> Option<&str> {
    let word = text.split_whitespace().next()?;
    Some(word.trim_matches(['.', ',', ';', '<', '>', '(', ')', '"']))
}

/// Where `marker` begins a word, without regard to case.
fn find_word(text: &str, marker: &str) -> Option<usize> {
    let starts_word = |at: usize| text.get(..at).is_none_or(|head| head.ends_with([' ', '(', '[']) || head.is_empty());
    let found = |at: usize| text.get(at..at + marker.len()).is_some_and(|part| part.eq_ignore_ascii_case(marker));
    (0..text.len()).find(|at| found(*at) && starts_word(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_the_replies_of_known_servers_and_in_no_others() {
        let cases = [
            ("OK <AM0PR1@eurprd.example> [Hostname=AM0PR1.eurprd.example]", Some("AM0PR1@eurprd.example")),
            (
                "<ab@contoso.com> [InternalId=123, Hostname=X.example] 9 bytes in 0.1, 1 KB/sec Queued mail for delivery",
                Some("ab@contoso.com"),
            ),
            ("Ok: queued as 4B3C9120F7", Some("4B3C9120F7")),
            ("OK: Queued as 4B3C9120F7.", Some("4B3C9120F7")),
            ("OK id=1sQxyz-0001ab-2C", Some("1sQxyz-0001ab-2C")),
            ("5AB12cde004711 Message accepted for delivery", Some("5AB12cde004711")),
            ("OK  1718 ab-20020a05600c19.45 - gsmtp", Some("1718")),
            ("ok 0J3K8ZQ1V7MZE", Some("0J3K8ZQ1V7MZE")),
            ("OK thanks", None),
            ("OK", None),
            ("Okay1234", None),
            ("", None),
            ("valid=nothing", None),
            ("message accepted", None),
            ("OK <somebody@contoso.com> will be glad", None),
            ("queued as ", None),
        ];
        for (text, id) in cases {
            let reply = Reply::plain(250, text);
            assert_eq!(remote_id(&reply).as_deref(), id, "{text}");
        }
        assert_eq!(remote_id(&Reply::plain(250, format!("queued as {}", "1".repeat(256)))), None);
    }
}
