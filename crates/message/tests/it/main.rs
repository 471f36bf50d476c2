//! The crate as others see it.

mod headers;
