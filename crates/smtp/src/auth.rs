//! What a client proves itself with: AUTH PLAIN (RFC 4616), LOGIN, XOAUTH2.

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
        todo!()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
