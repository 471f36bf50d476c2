//! The doctor against a DNS server of ours, with good and broken zones.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests panic like tests")]

mod dkim;
mod dmarc;
mod dns;
mod domain;
mod forecast;
mod paste;
mod server;
mod spf;
mod sts;
mod world;
