//! The doctor against a DNS server of ours, with good and broken zones.

mod dkim;
mod dmarc;
mod dns;
mod domain;
mod forecast;
mod server;
mod spf;
mod world;
