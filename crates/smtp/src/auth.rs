//! What a client proves itself with: AUTH PLAIN (RFC 4616), LOGIN, XOAUTH2.
//!
//! In: decoded SASL responses, or credentials to send. Out: credentials, or base64 ready for the wire.
//! Never: a secret in `Debug`, and no verdict on any secret.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Firmware leaves out the padding now and then; nothing is lost by reading it all the same.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A SASL mechanism that the machines speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Two prompts, `Username:` and `Password:`.
    Login,
    /// `user=…^Aauth=Bearer …^A^A`, Google's and Microsoft's.
    XOAuth2,
}

impl Mechanism {
    /// As it stands in AUTH and in the EHLO reply.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::XOAuth2 => "XOAUTH2",
        }
    }
    /// Of its keyword, in any case.
    pub fn from_keyword(keyword: &str) -> Option<Self> {
        [Self::Plain, Self::Login, Self::XOAuth2].into_iter().find(|it| it.keyword().eq_ignore_ascii_case(keyword))
    }
}

impl std::fmt::Display for Mechanism {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.keyword())
    }
}

/// Both sides use it: the server machine hands it to its driver, the client machine sends it.
/// `Debug` prints neither password nor token.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// AUTH PLAIN.
    Plain {
        /// Identity to act as; mostly empty.
        authzid: String,
        /// User name.
        authcid: String,
        /// Secret.
        password: String,
    },
    /// AUTH LOGIN.
    Login {
        /// User name.
        username: String,
        /// Secret.
        password: String,
    },
    /// AUTH XOAUTH2.
    XOAuth2 {
        /// The mailbox.
        user: String,
        /// The access token, without `Bearer `.
        token: String,
    },
}

impl Credentials {
    /// Which mechanism these are for.
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Plain { .. } => Mechanism::Plain,
            Self::Login { .. } => Mechanism::Login,
            Self::XOAuth2 { .. } => Mechanism::XOAuth2,
        }
    }

    /// The lines of base64 that the client gives, one for each 334.
    pub(crate) fn responses(&self) -> Vec<String> {
        match self {
            Self::Plain { authzid, authcid, password } => vec![encode(&format!("{authzid}\0{authcid}\0{password}"))],
            Self::Login { username, password } => vec![encode(username), encode(password)],
            Self::XOAuth2 { user, token } => vec![encode(&format!("user={user}\x01auth=Bearer {token}\x01\x01"))],
        }
    }

    /// Of PLAIN's only response, decoded.
    pub(crate) fn from_plain(response: &str) -> Option<Self> {
        let mut parts = response.split('\0').map(str::to_owned);
        let credentials = Self::Plain { authzid: parts.next()?, authcid: parts.next()?, password: parts.next()? };
        parts.next().is_none().then_some(credentials)
    }

    /// Of XOAUTH2's only response, decoded.
    pub(crate) fn from_xoauth2(response: &str) -> Option<Self> {
        let (mut user, mut token) = (None, None);
        for field in response.split('\x01').filter(|field| !field.is_empty()) {
            match field.split_once('=')? {
                ("user", value) => user = Some(value.to_owned()),
                ("auth", value) => token = Some(bearer(value)?.to_owned()),
                _ => {}
            }
        }
        Some(Self::XOAuth2 { user: user?, token: token? })
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token)
}

fn encode(text: &str) -> String {
    BASE64.encode(text)
}

/// Base64 of UTF-8, as in a SASL response.
pub(crate) fn decode(text: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(text).ok()?).ok()
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, user) = match self {
            Self::Plain { authcid, .. } => ("Plain", authcid),
            Self::Login { username, .. } => ("Login", username),
            Self::XOAuth2 { user, .. } => ("XOAuth2", user),
        };
        f.debug_struct(name).field("user", user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each() -> [Credentials; 3] {
        let [user, password] = ["anna", "s3cret-anna"].map(str::to_owned);
        [
            Credentials::Plain { authzid: String::new(), authcid: user.clone(), password: password.clone() },
            Credentials::Login { username: user.clone(), password: password.clone() },
            Credentials::XOAuth2 { user, token: password },
        ]
    }

    #[test]
    fn debug_shows_no_secret() {
        for credentials in each() {
            let shown = format!("{credentials:?}");
            assert!(shown.contains("anna") && !shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn responses_are_read_as_they_were_written() {
        let [plain, login, xoauth2] = each();
        assert_eq!(Credentials::from_plain(&decode(&plain.responses()[0]).unwrap()), Some(plain));
        assert_eq!(Credentials::from_xoauth2(&decode(&xoauth2.responses()[0]).unwrap()), Some(xoauth2));
        assert_eq!(login.responses(), ["YW5uYQ==", "czNjcmV0LWFubmE="]);
    }

    #[test]
    fn malformed_responses_are_none() {
        for text in ["", "a", "a\0b", "a\0b\0c\0d"] {
            assert_eq!(Credentials::from_plain(text), None, "{text:?}");
        }
        for text in ["", "user=a", "auth=Bearer x", "user=a\x01auth=Basic x", "user=a\x01auth=Bearer", "user"] {
            assert_eq!(Credentials::from_xoauth2(text), None, "{text:?}");
        }
        assert_eq!(decode("YW5uYQ").as_deref(), Some("anna"), "padding may be missing");
        assert_eq!(decode("YW5 uYQ=="), None);
        assert_eq!(decode("/w=="), None, "not UTF-8");
    }
}
