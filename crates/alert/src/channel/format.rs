//! A bulletin as the body of a webhook's request.
//!
//! Teams: "Post adaptive cards to a Teams channel" through the trigger "When a Teams webhook request is received"
//! (learn.microsoft.com, Microsoft Teams connector; read November 2026): an envelope of type `message` with one adaptive
//! card; about 28 KB at most. All texts stand in text runs, which know no Markdown.
//!
//! Slack: "Sending messages using incoming webhooks" and "Formatting text for app surfaces" (api.slack.com; read November
//! 2026): `text` for notifications, `blocks` for the message; a section holds 3,000 characters, a message 50 blocks; `&`, `<`
//! and `>` are control characters and are escaped.

use serde_json::{Value, json};
use telemetry::Severity;

use crate::notice::{Bulletin, Notice, State, line};
use crate::settings::WebhookFormat;

const LARGEST_JSON: usize = 256 * 1024;
/// Below the 28 KB of Teams: what it makes of a card is larger than the card.
const LARGEST_CARD: usize = 20_000;
/// Below the 13,200 characters that all blocks of a message may have.
const LARGEST_BLOCKS: usize = 12_000;
/// Of each text where several notices share a message.
const SHORT: usize = 250;

/// The request's body.
pub(crate) fn body(format: WebhookFormat, bulletin: &Bulletin) -> String {
    match format {
        WebhookFormat::Json => bulletin.fitted(LARGEST_JSON, Bulletin::json),
        WebhookFormat::Teams => bulletin.fitted(LARGEST_CARD, teams),
        WebhookFormat::Slack => bulletin.fitted(LARGEST_BLOCKS, slack),
    }
}

fn teams(bulletin: &Bulletin, shown: usize) -> String {
    let longest = longest(bulletin);
    let mut body = vec![rich(&[run(&bulletin.summary_line(), "default", true)])];
    body.extend(bulletin.shown(shown).iter().map(|notice| container(notice, longest)));
    body.extend(bulletin.rest(shown).map(|rest| rich(&[run(&rest, "default", false)])));
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": bulletin.summary(),
        "msteams": { "width": "Full" },
        "body": body,
    });
    let attachment =
        json!({ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card });
    json!({ "type": "message", "summary": bulletin.summary(), "attachments": [attachment] }).to_string()
}

fn container(notice: &Notice, longest: usize) -> Value {
    let mut items = vec![rich(&[run(&line(&notice.headline(), longest), colour(notice), true)])];
    let remedy = |remedy| rich(&[run("What to do: ", "default", true), run(&line(remedy, longest), "default", false)]);
    items.extend(notice.advice().map(remedy));
    items.push(rich(&[subtle(&line(&notice.particulars(), longest))]));
    json!({ "type": "Container", "separator": true, "items": items })
}

fn rich(runs: &[Value]) -> Value {
    json!({ "type": "RichTextBlock", "inlines": runs })
}

fn run(text: &str, colour: &str, bold: bool) -> Value {
    let weight = if bold { "bolder" } else { "default" };
    json!({ "type": "TextRun", "text": text, "color": colour, "weight": weight })
}

fn subtle(text: &str) -> Value {
    json!({ "type": "TextRun", "text": text, "size": "small", "isSubtle": true })
}

fn colour(notice: &Notice) -> &'static str {
    match (notice.state, notice.severity) {
        (State::Closed, _) => "good",
        (State::Test, _) => "accent",
        (State::Open | State::Flapping, Severity::Critical) => "attention",
        (State::Open | State::Flapping, Severity::Warning) => "warning",
    }
}

fn slack(bulletin: &Bulletin, shown: usize) -> String {
    let longest = longest(bulletin);
    let mut blocks: Vec<Value> = Vec::new();
    if bulletin.notices.len() > 1 {
        blocks.push(section(&format!("*{}*", escaped(&bulletin.summary(), longest))));
    }
    // With what stands around them, fewer than the 50 that Slack takes.
    let shown = shown.min(45);
    blocks.extend(bulletin.shown(shown).iter().map(|notice| section(&paragraph(bulletin, notice, longest))));
    blocks.extend(bulletin.rest(shown).map(|rest| section(&escaped(&rest, longest))));
    json!({ "text": escaped(&bulletin.summary(), longest), "blocks": blocks }).to_string()
}

/// Three lines, together below the 3,000 characters of a section.
fn paragraph(bulletin: &Bulletin, notice: &Notice, longest: usize) -> String {
    let mut lines = vec![format!("{} *{}*", sign(notice), escaped(&notice.headline(), longest))];
    lines.extend(notice.advice().map(|remedy| format!("*What to do:* {}", escaped(remedy, longest))));
    lines.push(escaped(&format!("{} · {}", bulletin.host, notice.particulars()), longest));
    lines.join("\n")
}

fn sign(notice: &Notice) -> &'static str {
    match (notice.state, notice.severity) {
        (State::Closed, _) => ":white_check_mark:",
        (State::Test, _) => ":information_source:",
        (State::Open | State::Flapping, Severity::Critical) => ":red_circle:",
        (State::Open | State::Flapping, Severity::Warning) => ":warning:",
    }
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

/// At most so many characters; nothing of it is markup. Asterisks, underscores, tildes and backticks cannot be escaped: they
/// make words bold at worst.
fn escaped(text: &str, longest: usize) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        let piece = match char {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            char => char.to_string(),
        };
        if escaped.len() + piece.len() > longest {
            escaped.push('…');
            break;
        }
        escaped.push_str(&piece);
    }
    escaped
}

/// A notice alone is shown whole.
fn longest(bulletin: &Bulletin) -> usize {
    if bulletin.notices.len() > 1 { SHORT } else { 950 }
}

impl Bulletin {
    /// The card's first line; what one notice says stands below it.
    fn summary_line(&self) -> String {
        if self.notices.len() > 1 { self.summary() } else { format!("Posthouse on {}", self.host) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::samples;

    fn parsed(format: WebhookFormat, bulletin: &Bulletin) -> Value {
        serde_json::from_str(&body(format, bulletin)).unwrap()
    }

    #[test]
    fn a_notice_for_teams_is_an_adaptive_card_in_a_message() {
        let summary = "relay.contoso.com: CRITICAL: the client secret has expired: mail of contoso waits";
        let golden = json!({
            "type": "message",
            "summary": summary,
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "fallbackText": summary,
                    "msteams": { "width": "Full" },
                    "body": [
                        { "type": "RichTextBlock", "inlines": [
                            { "type": "TextRun", "text": "Posthouse on relay.contoso.com", "color": "default", "weight": "bolder" }
                        ] },
                        { "type": "Container", "separator": true, "items": [
                            { "type": "RichTextBlock", "inlines": [
                                { "type": "TextRun", "text": "CRITICAL: the client secret has expired: mail of contoso waits", "color": "attention", "weight": "bolder" }
                            ] },
                            { "type": "RichTextBlock", "inlines": [
                                { "type": "TextRun", "text": "What to do: ", "color": "default", "weight": "bolder" },
                                { "type": "TextRun", "text": "make a new secret & put it into <secret>", "color": "default", "weight": "default" }
                            ] },
                            { "type": "RichTextBlock", "inlines": [
                                { "type": "TextRun", "text": "breaker · credential contoso/1111 · AADSTS7000222 · since 2026-11-21 01:36:00 UTC", "size": "small", "isSubtle": true }
                            ] }
                        ] }
                    ]
                }
            }]
        });
        assert_eq!(parsed(WebhookFormat::Teams, &samples::bulletin(vec![samples::opened()])), golden);
    }

    #[test]
    fn a_notice_for_slack_is_text_and_a_section_with_nothing_of_it_as_markup() {
        let golden = json!({
            "text": "relay.contoso.com: CRITICAL: the client secret has expired: mail of contoso waits",
            "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text":
                ":red_circle: *CRITICAL: the client secret has expired: mail of contoso waits*\n\
                 *What to do:* make a new secret &amp; put it into &lt;secret&gt;\n\
                 relay.contoso.com · breaker · credential contoso/1111 · AADSTS7000222 · since 2026-11-21 01:36:00 UTC"
            } }]
        });
        assert_eq!(parsed(WebhookFormat::Slack, &samples::bulletin(vec![samples::opened()])), golden);
    }

    #[test]
    fn a_recovery_has_no_advice_and_another_colour() {
        let recovery = samples::bulletin(vec![samples::closed()]);
        let card = body(WebhookFormat::Teams, &recovery);
        assert!(card.contains("\"good\"") && !card.contains("What to do"), "{card}");
        let message = body(WebhookFormat::Slack, &recovery);
        assert!(message.contains(":white_check_mark: *OVER after 2 h 5 min: "), "{message}");
    }

    #[test]
    fn the_longest_bulletin_fits_into_each_service_and_says_what_is_left_out() {
        let long =
            Notice { what: "<".repeat(1000), remedy: "&".repeat(1000), about: "ü".repeat(300), ..samples::opened() };
        let many: Vec<Notice> = vec![long; 50];
        let bulletin = samples::bulletin(many.clone());
        let card = body(WebhookFormat::Teams, &bulletin);
        assert!(card.len() <= LARGEST_CARD && card.contains(" more: see `posthouse alert list`"), "{}", card.len());
        let message = parsed(WebhookFormat::Slack, &bulletin);
        let blocks = message["blocks"].as_array().unwrap();
        assert!(message.to_string().len() <= LARGEST_BLOCKS && (3..=50).contains(&blocks.len()), "{}", blocks.len());
        let alone = parsed(WebhookFormat::Slack, &samples::bulletin(many[..1].to_vec()));
        let text = alone["blocks"][0]["text"]["text"].as_str().unwrap();
        assert!(text.chars().count() <= 3000, "{}", text.chars().count());
        assert!(body(WebhookFormat::Json, &bulletin).len() <= LARGEST_JSON);
    }

    #[test]
    fn an_entity_is_never_cut() {
        assert_eq!(escaped("a<b", 3), "a…");
        assert_eq!(escaped("a<b", 6), "a&lt;b");
    }
}
