//! Diagnosis: checks of what lies outside the relay, each finding with its remedy.
//!
//! In: names and settings. Out: findings. Never: a change of anything, a message sent, a wait without a limit.
