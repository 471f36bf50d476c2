//! What a token source is told; made by `config`, all checked.

use std::path::PathBuf;

use secret::Secret;

/// One application in one tenant, for one resource.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base URL of the login service, e.g. `https://login.microsoftonline.com`, without a slash at its end.
    pub authority: String,
    /// Directory id or a verified domain.
    pub tenant: String,
    /// Application (client) id.
    pub client_id: String,
    /// See there.
    pub credential: Credential,
    /// e.g. `https://outlook.office365.com/.default`
    pub scope: String,
    /// PEM of roots trusted in addition to the system's, for this endpoint alone.
    pub ca: Option<PathBuf>,
}

/// What the application proves itself with. Read anew for every request, so that a rolled credential is taken up.
#[derive(Clone, Debug)]
pub enum Credential {
    /// `client_secret`
    ClientSecret(Secret),
    /// `client_assertion`
    Certificate {
        /// PEM.
        certificate: PathBuf,
        /// PEM, PKCS#8 or PKCS#1.
        key: PathBuf,
        /// See there.
        algorithm: AssertionAlgorithm,
    },
}

/// How the assertion is signed and names its certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssertionAlgorithm {
    /// RSA-PSS with `x5t#S256`.
    #[default]
    Ps256,
    /// RSA PKCS#1 v1.5 with `x5t`.
    Rs256,
}
