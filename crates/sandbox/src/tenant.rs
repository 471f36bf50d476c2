//! What an administrator would have set up in the tenant: domains, switches, applications, mailboxes, limits.
//!
//! Plain data, the same for the settings at start and for the control API. Every figure is Microsoft's default unless
//! said otherwise; a limit of 0 is no limit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hidden::Hidden;

/// The one tenant of a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tenant {
    /// Directory id.
    pub id: String,
    /// First part of the initial domain: `contoso` of `contoso.onmicrosoft.com`.
    pub name: String,
    /// Accepted domains.
    pub domains: Vec<String>,
    /// Authenticated SMTP is on for the organisation (`SmtpClientAuthenticationDisabled` is the reverse). Governs
    /// passwords and tokens; a mailbox can say otherwise.
    pub smtp_auth: bool,
    /// What becomes of user name and password.
    pub basic_auth: BasicAuth,
    /// `SendFromAliasEnabled`: a mailbox may send as its aliases.
    pub send_from_alias: bool,
    /// Life of an access token in seconds.
    pub token_lifetime_secs: u32,
    /// Of every mailbox that has none of its own.
    pub limits: Limits,
    /// External recipients of the whole tenant in any 24 hours (550 5.7.233). It depends on the number of licences, from
    /// 10,000 for one; here it is off (0) unless set.
    pub external_recipients_per_day: u64,
    /// A trial tenant: its refusal is 550 5.7.232, and its limit would be 500.
    pub trial: bool,
    /// External recipients in any 24 hours of all senders under `onmicrosoft.com` (550 5.7.236).
    pub initial_domain_recipients_per_day: u64,
    /// Registered applications.
    pub apps: Vec<App>,
    /// Mailboxes.
    pub mailboxes: Vec<Mailbox>,
}

impl Default for Tenant {
    fn default() -> Self {
        Self {
            id: "0b57b0c5-5a4d-4b0e-8000-5a9db0c50365".to_owned(),
            name: "contoso".to_owned(),
            domains: vec!["contoso.test".to_owned()],
            smtp_auth: true,
            basic_auth: BasicAuth::Allowed,
            send_from_alias: false,
            token_lifetime_secs: 3599,
            limits: Limits::default(),
            external_recipients_per_day: 0,
            trial: false,
            initial_domain_recipients_per_day: 100,
            apps: Vec::new(),
            mailboxes: Vec::new(),
        }
    }
}

impl Tenant {
    /// Whether a text in a URL or a claim means this tenant: its id, the initial domain, or an accepted domain.
    pub fn is_called(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.id)
            || name.eq_ignore_ascii_case(&format!("{}.onmicrosoft.com", self.name))
            || self.domains.iter().any(|domain| name.eq_ignore_ascii_case(domain))
    }

    /// Whether an address is in one of the tenant's own domains.
    pub(crate) fn is_internal(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
        domain.eq_ignore_ascii_case(&format!("{}.onmicrosoft.com", self.name))
            || self.domains.iter().any(|own| own.eq_ignore_ascii_case(domain))
    }

    /// Whether an address is under `onmicrosoft.com`.
    pub(crate) fn is_initial_domain(&self, address: &str) -> bool {
        address.to_ascii_lowercase().ends_with(".onmicrosoft.com")
    }

    /// What holds for the mailbox with this address; no limits for one that is not there.
    pub(crate) fn limits_of_address(&self, address: &str) -> Limits {
        self.mailbox(address).map_or_else(Limits::off, |mailbox| self.limits_of(mailbox).clone())
    }

    /// By its address; aliases are no sign-in names.
    pub fn mailbox(&self, address: &str) -> Option<&Mailbox> {
        self.mailboxes.iter().find(|mailbox| mailbox.address.eq_ignore_ascii_case(address))
    }

    /// By client id.
    pub fn app(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id.eq_ignore_ascii_case(client_id))
    }

    /// What holds for this mailbox.
    pub fn limits_of<'a>(&'a self, mailbox: &'a Mailbox) -> &'a Limits {
        mailbox.limits.as_ref().unwrap_or(&self.limits)
    }
}

/// What becomes of AUTH LOGIN with the right password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BasicAuth {
    /// It works.
    #[default]
    Allowed,
    /// An authentication policy without `AllowBasicAuthSmtp`.
    DisabledByPolicy,
    /// Entra security defaults are on.
    SecurityDefaults,
    /// A Conditional Access policy blocks the sign-in.
    ConditionalAccess,
    /// Microsoft has removed it (`550 5.7.30`).
    Retired,
}

/// Limits of a mailbox. 0 switches one off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Messages being submitted at the same time, from DATA to the reply that ends it.
    pub concurrent_submissions: u32,
    /// Count signed-in sessions, idle ones too, in place of messages under way: stricter than Microsoft, for testing
    /// that a program never opens more.
    pub count_idle_sessions: bool,
    /// Messages in any 60 seconds.
    pub messages_per_minute: u32,
    /// What happens to more.
    pub rate_excess: RateExcess,
    /// Recipients in any 24 hours.
    pub recipients_per_day: u64,
    /// Recipients of one message.
    pub recipients_per_message: u32,
    /// Octets of one message (`MaxSendSize`).
    pub message_size: u64,
    /// Refusals of one kind in a row that get the mailbox blocked. Microsoft does not say how many; ours.
    pub refusals_until_block: u32,
    /// How long a block lasts. Microsoft does not say; ours.
    pub block_minutes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_submissions: 3,
            count_idle_sessions: false,
            messages_per_minute: 30,
            rate_excess: RateExcess::Delay,
            recipients_per_day: 10_000,
            recipients_per_message: 500,
            message_size: 35 * 1024 * 1024,
            refusals_until_block: 10,
            block_minutes: 30,
        }
    }
}

impl Limits {
    /// None at all but Microsoft's largest message, 150 MB.
    pub fn off() -> Self {
        Self {
            concurrent_submissions: 0,
            count_idle_sessions: false,
            messages_per_minute: 0,
            rate_excess: RateExcess::Delay,
            recipients_per_day: 0,
            recipients_per_message: 0,
            message_size: 0,
            refusals_until_block: 0,
            block_minutes: 0,
        }
    }
}

/// A message over `messages_per_minute`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateExcess {
    /// Its reply waits until there is room, as Microsoft does today.
    #[default]
    Delay,
    /// 554 5.2.2, as older documentation has it.
    Refuse,
}

/// An application registered in Entra, with its service principal in Exchange.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct App {
    /// Application id.
    pub client_id: String,
    /// Object id of the enterprise application.
    pub object_id: String,
    /// Display name.
    pub name: String,
    /// Sign-in is blocked (`AADSTS7000112`).
    pub disabled: bool,
    /// Application permissions granted for Office 365 Exchange Online, e.g. `SMTP.SendAsApp`.
    pub roles: Vec<String>,
    /// Client secrets.
    pub secrets: Vec<AppSecret>,
    /// Certificates, PEM.
    pub certificates: Vec<String>,
}

/// A client secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSecret {
    /// Its value.
    pub value: Hidden,
    /// When it stops working; never, if absent.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// A mailbox that may be signed in to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mailbox {
    /// Primary address and sign-in name.
    pub address: String,
    /// For AUTH LOGIN; without one there is no signing in by password.
    pub password: Option<Hidden>,
    /// Further addresses of its own.
    pub aliases: Vec<String>,
    /// Addresses it holds SendAs for; `*` stands for anything, as in `*@contoso.test`.
    pub send_as: Vec<String>,
    /// Client ids that hold FullAccess on it; absent: every application of the tenant.
    pub apps: Option<Vec<String>>,
    /// Authenticated SMTP for this mailbox; absent: as the tenant says.
    pub smtp_auth: Option<bool>,
    /// Passwords for this mailbox; absent: as the tenant says.
    pub basic_auth: Option<BasicAuth>,
    /// Full, so that nothing can be sent (554 5.2.2).
    pub full: bool,
    /// MAIL with a reverse-path that it may not send as is refused (550 5.7.60). Microsoft documents this refusal, but not
    /// when it comes; what is seen in the field is that of From and Sender, after the content.
    pub checks_reverse_path: bool,
    /// Absent: the tenant's.
    pub limits: Option<Limits>,
}

impl Mailbox {
    /// With this address and nothing else.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }
    /// Sets the password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }
    /// Adds a SendAs grant.
    pub fn send_as(mut self, address: &str) -> Self {
        self.send_as.push(address.to_owned());
        self
    }
    /// Adds an alias.
    pub fn alias(mut self, address: &str) -> Self {
        self.aliases.push(address.to_owned());
        self
    }
    /// Lets it look at the reverse-path, too.
    pub fn checks_reverse_path(mut self) -> Self {
        self.checks_reverse_path = true;
        self
    }
    /// Gives it limits of its own.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Whether a message with `address` in From or Sender, or as a reverse-path that is looked at, may leave.
    pub(crate) fn may_send_as(&self, address: &str, aliases_too: bool) -> bool {
        address.eq_ignore_ascii_case(&self.address)
            || (aliases_too && self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(address)))
            || self.send_as.iter().any(|pattern| matches(pattern, address))
    }
}

/// Whether `text` fits `pattern`, in which every `*` stands for any run of characters; case does not count.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = left.split_once(piece) else { return false };
        left = after;
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, fits) in [
            ("*", "anything@x", true),
            ("a@b.test", "A@B.test", true),
            ("a@b.test", "aa@b.test", false),
            ("*@b.test", "a@b.test", true),
            ("*@b.test", "a@c.test", false),
            ("scan-*@b.test", "scan-2@b.test", true),
            ("scan-*@b.test", "scan@b.test", false),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn an_alias_is_foreign_until_the_tenant_allows_aliases() {
        let mailbox = Mailbox::new("relay@contoso.test").alias("scan@contoso.test").send_as("erp@contoso.test");
        assert!(mailbox.may_send_as("Relay@contoso.test", false));
        assert!(mailbox.may_send_as("erp@contoso.test", false));
        assert!(!mailbox.may_send_as("scan@contoso.test", false));
        assert!(mailbox.may_send_as("scan@contoso.test", true));
    }

    #[test]
    fn a_tenant_answers_to_its_id_its_initial_domain_and_its_domains() {
        let tenant = Tenant::default();
        for name in [tenant.id.as_str(), "CONTOSO.onmicrosoft.com", "contoso.test"] {
            assert!(tenant.is_called(name), "{name}");
        }
        assert!(!tenant.is_called("fabrikam.test"));
    }
}
