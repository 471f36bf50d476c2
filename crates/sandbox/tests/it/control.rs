//! The control API, by HTTP.

use posthouse_sandbox::{Sandbox, Settings};
use serde_json::{Value, json};

use crate::talk::{Talk, http, start};

struct Remote {
    http: reqwest::Client,
    base: String,
}

impl Remote {
    fn of(sandbox: &Sandbox) -> Self {
        Self { http: http(sandbox.endpoints()), base: sandbox.endpoints().control.clone() }
    }
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
    async fn text(&self, path: &str) -> String {
        self.http.get(format!("{}{path}", self.base)).send().await.unwrap().text().await.unwrap()
    }
}

#[tokio::test]
async fn the_help_the_state_and_a_configuration_are_at_hand() {
    let sandbox = start().await;
    let remote = Remote::of(&sandbox);
    let help = remote.text("/").await;
    assert!(help.contains("POST   /faults") && help.contains(&sandbox.endpoints().login), "{help}");
    let (status, state) = remote.call("GET", "/state", None).await;
    assert_eq!(status, 200);
    assert_eq!(state["endpoints"]["client_secret"], json!(sandbox.endpoints().client_secret.as_str()));
    assert_eq!(state["tenant"]["mailboxes"][0]["address"], "relay@contoso.test");
    assert_eq!(remote.text("/ca.pem").await, sandbox.endpoints().ca_pem);
    let configuration = remote.text("/configuration?listen=127.0.0.1:2626&data_dir=/tmp/x").await;
    assert!(configuration.contains("\"127.0.0.1:2626\"") && configuration.contains("\"/tmp/x/sandbox-ca.pem\""));
    configuration.parse::<toml::Table>().unwrap();
    sandbox.stop().await;
}

#[tokio::test]
async fn messages_can_be_listed_read_and_deleted() {
    let sandbox = start().await;
    let remote = Remote::of(&sandbox);
    let mut talk = Talk::relay(&sandbox).await;
    for to in ["bob@example.com", "eve@example.com"] {
        assert!(talk.send_to(to).await.starts_with("250 "));
    }
    let (_, all) = remote.call("GET", "/messages", None).await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    for (filter, count) in [
        ("recipient=EVE@example.com", 1),
        ("mailbox=relay@contoso.test", 2),
        ("subject=X&after=1", 1),
        ("subject=absent", 0),
        ("limit=1", 1),
    ] {
        let (_, found) = remote.call("GET", &format!("/messages?{filter}"), None).await;
        assert_eq!(found.as_array().unwrap().len(), count, "{filter}");
    }
    let (_, one) = remote.call("GET", "/messages/2", None).await;
    assert_eq!(one["recipients"][0]["address"], "eve@example.com");
    assert_eq!(one["mailbox"], "relay@contoso.test");
    assert!(remote.text("/messages/2/raw").await.ends_with("\r\n\r\nhello\r\n"));
    assert_eq!(remote.call("GET", "/messages/3", None).await.0, 404);
    assert_eq!(remote.call("DELETE", "/messages", None).await, (200, json!({"deleted": 2})));
    assert_eq!(remote.call("GET", "/messages/2", None).await.0, 404);
    sandbox.stop().await;
}

#[tokio::test]
async fn faults_can_be_set_listed_and_cleared() {
    let sandbox = start().await;
    let remote = Remote::of(&sandbox);
    let fault = json!({"at": "end", "do": {"reply": "451 4.7.0 later"}, "times": 2});
    assert_eq!(remote.call("POST", "/faults", Some(fault)).await, (201, json!({"id": 1})));
    let mut talk = Talk::relay(&sandbox).await;
    assert_eq!(talk.send_to("bob@example.com").await, "451 4.7.0 later");
    let (_, faults) = remote.call("GET", "/faults", None).await;
    assert_eq!(faults, json!([{"id": 1, "at": "end", "do": {"reply": "451 4.7.0 later"}, "times": 1, "struck": 1}]));
    assert_eq!(remote.call("DELETE", "/faults/1", None).await.0, 204);
    assert_eq!(remote.call("DELETE", "/faults/1", None).await.0, 404);
    assert!(talk.send_to("bob@example.com").await.starts_with("250 "));
    for wrong in [
        json!({"at": "end"}),
        json!({"at": "lunch", "do": "disconnect"}),
        json!({"at": "mail", "do": {"aadsts": 1}}),
        json!({"at": "mail", "do": {"reply": "hello"}}),
        json!({"at": "mail", "do": "disconnect", "recipients": "x"}),
    ] {
        assert_eq!(remote.call("POST", "/faults", Some(wrong.clone())).await.0, 422, "{wrong}");
    }
    let every = ["disconnect", "store_then_disconnect"].map(|action| json!({"at": "end", "do": action}));
    for fault in every {
        assert_eq!(remote.call("POST", "/faults", Some(fault)).await.0, 201);
    }
    assert_eq!(remote.call("DELETE", "/faults", None).await.0, 204);
    assert_eq!(remote.call("GET", "/faults", None).await.1, json!([]));
    sandbox.stop().await;
}

#[tokio::test]
async fn mailboxes_can_be_made_changed_and_removed() {
    let sandbox = start().await;
    let remote = Remote::of(&sandbox);
    let new = json!({"address": "scan@contoso.test", "password": "scan-password"});
    assert_eq!(remote.call("POST", "/mailboxes", Some(new.clone())).await.0, 201);
    assert_eq!(remote.call("POST", "/mailboxes", Some(new)).await.0, 409);
    let mut talk = Talk::login(sandbox.endpoints(), "scan@contoso.test", "scan-password").await;
    let change = json!({"full": true, "checks_reverse_path": true, "limits": {"messages_per_minute": 1}});
    let (status, changed) = remote.call("PATCH", "/mailboxes/scan@contoso.test", Some(change)).await;
    assert_eq!((status, &changed["limits"]["recipients_per_day"]), (200, &json!(10_000)));
    let content = "From: scan@contoso.test\r\n\r\nhello";
    assert!(talk.send("scan@contoso.test", &["bob@example.com"], content).await.starts_with("554 5.2.2 mailbox full"));
    remote.call("PATCH", "/mailboxes/scan@contoso.test", Some(json!({"full": false, "limits": null}))).await;
    assert!(talk.send("scan@contoso.test", &["bob@example.com"], content).await.starts_with("250 "));
    let (_, one) = remote.call("GET", "/mailboxes/scan@contoso.test", None).await;
    assert_eq!((&one["statistics"]["accepted"], &one["mailbox"]["limits"]), (&json!(1), &Value::Null));
    assert_eq!(remote.call("PATCH", "/mailboxes/scan@contoso.test", Some(json!({"sendas": []}))).await.0, 422);
    assert_eq!(remote.call("DELETE", "/mailboxes/scan@contoso.test", None).await.0, 204);
    assert_eq!(remote.call("GET", "/mailboxes/scan@contoso.test", None).await.0, 404);
    sandbox.stop().await;
}

#[tokio::test]
async fn switches_limits_and_applications_can_be_changed() {
    let sandbox = start().await;
    let remote = Remote::of(&sandbox);
    let change = json!({"basic_auth": "retired", "limits": {"messages_per_minute": 0}});
    let (status, tenant) = remote.call("PATCH", "/tenant", Some(change)).await;
    assert_eq!((status, &tenant["limits"]["concurrent_submissions"]), (200, &json!(3)));
    let mut talk = Talk::encrypted(sandbox.endpoints()).await;
    talk.say("EHLO relay.test").await;
    let refusal = talk.try_login("relay@contoso.test", "relay-password").await;
    assert_eq!(refusal, "550 5.7.30 Basic authentication is not supported for Client Submission.");
    let (status, app) = remote.call("POST", "/apps", Some(json!({"name": "erp"}))).await;
    assert_eq!(status, 201);
    let path = format!("/apps/{}", app["client_id"].as_str().unwrap());
    assert_eq!(remote.call("PATCH", &path, Some(json!({"disabled": true}))).await.1["disabled"], json!(true));
    assert_eq!(remote.call("DELETE", &path, None).await.0, 204);
    assert_eq!(remote.call("GET", &path, None).await.0, 404);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_clock_goes_forward_only() {
    let sandbox = start().await;
    let remote = Remote::of(&sandbox);
    let (status, clock) = remote.call("POST", "/clock/advance", Some(json!({"seconds": 86_400}))).await;
    assert_eq!((status, &clock["ahead_secs"]), (200, &json!(86_400.0)));
    assert_eq!(remote.call("POST", "/clock/advance", Some(json!({"seconds": -1}))).await.0, 422);
    sandbox.stop().await;
}

#[tokio::test]
async fn statistics_are_given_and_started_anew() {
    let sandbox = start().await;
    let remote = Remote::of(&sandbox);
    let mut talk = Talk::relay(&sandbox).await;
    assert!(talk.send_to("bob@example.com").await.starts_with("250 "));
    let denied = talk.send("x@y.test", &["bob@example.com"], "From: ceo@fabrikam.test\r\n\r\nhello").await;
    assert!(denied.starts_with("554 5.2.252"));
    let (_, statistics) = remote.call("GET", "/statistics", None).await;
    assert_eq!(statistics["refusals"], json!({"554 5.2.252": 1}));
    assert_eq!(
        (&statistics["messages"], &statistics["recipients"], &statistics["aborted"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(statistics["mailboxes"]["relay@contoso.test"]["most_messages_in_a_minute"], json!(1));
    assert_eq!(remote.call("DELETE", "/statistics", None).await.0, 204);
    let (_, statistics) = remote.call("GET", "/statistics", None).await;
    assert_eq!((&statistics["refusals"], &statistics["messages"]), (&json!({}), &json!(0)));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_web_page_cannot_send_orders() {
    let sandbox = start().await;
    let remote = Remote::of(&sandbox);
    let body = r#"{"at": "end", "do": "disconnect"}"#;
    let answer = remote.http.post(format!("{}/faults", remote.base)).header("content-type", "text/plain").body(body);
    assert_eq!(answer.send().await.unwrap().status(), 415);
    assert!(sandbox.faults().is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn other_addresses_than_the_loopbacks_must_be_allowed() {
    let settings = Settings { control: "0.0.0.0:0".parse().unwrap(), ..Settings::default() };
    let error = Sandbox::start(settings).await.err().unwrap();
    assert!(error.to_string().contains("not a loopback address"), "{error}");
}
