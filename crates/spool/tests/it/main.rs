//! The embedded spool from outside: the promises of every backend, crashes, tools, the stored format.

extern crate posthouse_spool as spool;

mod promises;
