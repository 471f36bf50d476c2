//! The clouds of Microsoft 365: hosts, scopes, names in DNS. Presets; every one of them can be set otherwise.
//!
//! Sources (read 2026-11-20): "Microsoft 365 URLs and IP address ranges" (worldwide, GCC High, DoD, 21Vianet); "DNS records
//! for Office 365 GCC High", "DNS records for Office 365 DoD"; "National clouds" (Microsoft Entra ID); "Microsoft Graph:
//! national cloud deployments"; "Authenticate an IMAP, POP or SMTP connection using OAuth".
//! "Use DKIM for email in your custom domain" (both forms of DKIM targets).
//! Weak spots: `smtp.office365.us` is what GCC High tenants use in practice, Microsoft's list of endpoints names only
//! `outlook.office365.us`; China's MX suffix, SPF include, submission host and initial domains are from logs; where the
//! newer DKIM targets of national clouds are is not known. A token of one cloud is worth
//! nothing in another (`AADSTS900382`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of them. GCC is served by the worldwide one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// Commercial tenants and GCC.
    #[default]
    Worldwide,
    /// US Government, GCC High.
    GccHigh,
    /// US Department of Defense.
    Dod,
    /// China, operated by 21Vianet.
    China,
}

/// Not the name of a cloud.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no Microsoft 365 cloud: worldwide, gcc-high, dod or china")]
pub struct UnknownCloud(pub String);

impl Cloud {
    /// All, the usual one first.
    pub const ALL: [Self; 4] = [Self::Worldwide, Self::GccHigh, Self::Dod, Self::China];

    /// As it is written in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worldwide => "worldwide",
            Self::GccHigh => "gcc-high",
            Self::Dod => "dod",
            Self::China => "china",
        }
    }

    /// Host of authenticated SMTP submission; its port is [`limits::SUBMISSION_PORT`](crate::limits::SUBMISSION_PORT).
    pub const fn submission_host(self) -> &'static str {
        match self {
            Self::Worldwide => "smtp.office365.com",
            Self::GccHigh => "smtp.office365.us",
            Self::Dod => "outlook-dod.office365.us",
            Self::China => "smtp.partner.outlook.cn",
        }
    }

    /// Base URL of the login service, without a slash at its end.
    pub const fn login(self) -> &'static str {
        match self {
            Self::Worldwide => "https://login.microsoftonline.com",
            Self::GccHigh | Self::Dod => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Scope of a token for SMTP submission as an application.
    pub const fn smtp_scope(self) -> &'static str {
        match self {
            Self::Worldwide => "https://outlook.office365.com/.default",
            Self::GccHigh => "https://outlook.office365.us/.default",
            Self::Dod => "https://outlook-dod.office365.us/.default",
            Self::China => "https://partner.outlook.cn/.default",
        }
    }

    /// Scope of a token for SMTP submission on behalf of a person.
    pub const fn smtp_delegated_scope(self) -> &'static str {
        match self {
            Self::Worldwide => "https://outlook.office.com/SMTP.Send",
            Self::GccHigh | Self::Dod => "https://outlook.office365.us/SMTP.Send",
            Self::China => "https://partner.outlook.cn/SMTP.Send",
        }
    }

    /// Base URL of Microsoft Graph, without a slash at its end.
    pub const fn graph(self) -> &'static str {
        match self {
            Self::Worldwide => "https://graph.microsoft.com",
            Self::GccHigh => "https://graph.microsoft.us",
            Self::Dod => "https://dod-graph.microsoft.us",
            Self::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }

    /// Scope of a token for Microsoft Graph as an application.
    pub const fn graph_scope(self) -> &'static str {
        match self {
            Self::Worldwide => "https://graph.microsoft.com/.default",
            Self::GccHigh => "https://graph.microsoft.us/.default",
            Self::Dod => "https://dod-graph.microsoft.us/.default",
            Self::China => "https://microsoftgraph.chinacloudapi.cn/.default",
        }
    }

    /// What the name of a tenant's MX host ends in. The host itself is always taken from DNS.
    pub const fn mx_suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Worldwide => &["mail.protection.outlook.com", "mx.microsoft"],
            Self::GccHigh | Self::Dod => &["mail.protection.office365.us"],
            Self::China => &["mail.protection.partner.outlook.cn"],
        }
    }

    /// What a sender domain's SPF record includes.
    pub const fn spf_include(self) -> &'static str {
        match self {
            Self::Worldwide => "spf.protection.outlook.com",
            Self::GccHigh | Self::Dod => "spf.protection.office365.us",
            Self::China => "spf.protection.partner.outlook.cn",
        }
    }

    /// What a tenant's initial domain ends in (`contoso.onmicrosoft.com`), and so the older targets of the DKIM selectors'
    /// CNAME records (`selector1-contoso-com._domainkey.contoso.onmicrosoft.com`).
    pub const fn initial_domain_suffix(self) -> &'static str {
        match self {
            Self::Worldwide => "onmicrosoft.com",
            Self::GccHigh | Self::Dod => "onmicrosoft.us",
            Self::China => "partner.onmschina.cn",
        }
    }
}

/// What the DKIM targets of domains added since May 2025 end in. Before it come the prefix of the tenant's initial domain and a
/// label with a letter that differs: `selector1-contoso-com._domainkey.contoso.n-v1.dkim.mail.microsoft`. It has to be read
/// from the tenant. "Use DKIM for email in your custom domain".
pub const DKIM_SUFFIX_SINCE_2025: &str = "dkim.mail.microsoft";

/// The selectors that Exchange Online signs with, one at a time. "Use DKIM for email in your custom domain".
pub const DKIM_SELECTORS: [&str; 2] = ["selector1", "selector2"];

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Cloud {
    type Err = UnknownCloud;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|cloud| cloud.name() == text).ok_or_else(|| UnknownCloud(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_is_found_by_its_name_and_another_name_lists_them() {
        for cloud in Cloud::ALL {
            assert_eq!(cloud.to_string().parse(), Ok(cloud));
        }
        let error = "gcc".parse::<Cloud>().unwrap_err().to_string();
        assert!(Cloud::ALL.iter().all(|cloud| error.contains(cloud.name())), "{error}");
    }

    #[test]
    fn urls_have_no_slash_at_their_end_and_scopes_of_applications_end_in_default() {
        for cloud in Cloud::ALL {
            for url in [cloud.login(), cloud.graph()] {
                assert!(url.starts_with("https://") && !url.ends_with('/'), "{url}");
            }
            for scope in [cloud.smtp_scope(), cloud.graph_scope()] {
                assert!(scope.ends_with("/.default"), "{scope}");
            }
        }
    }
}
