//! DKIM signatures (RFC 6376, RFC 8463) on the paths where the relay is the last to touch a message; ARC seals (RFC 8617)
//! where they are asked for.
//!
//! In: private keys, a header section, a body in pieces. Out: header fields to put in front; new keys, and the DNS records
//! that go with them. Never: the message in memory, the DNS, a private key printed.
