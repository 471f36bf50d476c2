//! Durations and sizes, written with their units.

use std::time::Duration;

use toml::de::DeValue;

use crate::problem::{Complaint, Sink};
use crate::read::{Read, Sort, Spot, wrong_type};

/// A duration from `MIN` to `MAX` seconds: `"90s"`, `"1h 30m"`, `"3d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lasting<const MIN: u64, const MAX: u64>(pub(crate) Duration);

/// A number of octets from `MIN` to `MAX`: `"35 MiB"`, `"256 KiB"`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> Read for Lasting<MIN, MAX> {
    fn sort() -> Sort {
        Sort::Value(format!("duration, {} to {}", duration_words(MIN), duration_words(MAX)))
    }
    fn read(value: &DeValue<'_>, at: &Spot<'_>, sink: &mut Sink) -> Option<Self> {
        let read = match value.as_str() {
            Some(text) => {
                duration(text).and_then(|d| in_range(d.as_millis(), MIN, MAX, 1000, duration_words).map(|()| d))
            }
            None => Err(Complaint { what: wrong_type("", "a duration with its unit", value).what, remedy: None }),
        };
        let read = read.map_err(|complaint| {
            named(at.key, complaint, "durations look like \"30s\", \"15m\", \"1h 30m\" or \"3d\"")
        });
        noted(read.map(Self), at, sink)
    }
}

impl<const MIN: u64, const MAX: u64> Read for Size<MIN, MAX> {
    fn sort() -> Sort {
        Sort::Value(format!("size, {} to {}", size_words(MIN), size_words(MAX)))
    }
    fn read(value: &DeValue<'_>, at: &Spot<'_>, sink: &mut Sink) -> Option<Self> {
        let number = match (value.as_str(), integer(value)) {
            (Some(text), _) => size(text),
            (None, Some(number)) => Ok(number),
            (None, None) => Err(Complaint { what: wrong_type("", "a size with its unit", value).what, remedy: None }),
        };
        let read = number.and_then(|n| in_range(n, MIN, MAX, 1, size_words).map(|()| n));
        let read =
            read.map_err(|complaint| named(at.key, complaint, "sizes look like \"35 MiB\", \"256 KiB\" or 1048576"));
        noted(read.map(|n| Self(u64::try_from(n).unwrap_or(MAX))), at, sink)
    }
}

impl<const MIN: u64, const MAX: u64> Read for Whole<MIN, MAX> {
    fn sort() -> Sort {
        Sort::Value(format!("whole number, {MIN} to {MAX}"))
    }
    fn read(value: &DeValue<'_>, at: &Spot<'_>, sink: &mut Sink) -> Option<Self> {
        let expected = format!("a whole number from {MIN} to {MAX}");
        let read = match integer(value) {
            Some(n) if (u128::from(MIN)..=u128::from(MAX)).contains(&n) => Ok(Self(u64::try_from(n).unwrap_or(MAX))),
            _ if value.is_integer() => {
                Err(Complaint { what: format!("`{}` must be {expected}", at.key), remedy: None })
            }
            _ => Err(wrong_type(at.key, &expected, value)),
        };
        noted(read, at, sink)
    }
}

fn noted<T>(read: Result<T, Complaint>, at: &Spot<'_>, sink: &mut Sink) -> Option<T> {
    read.map_err(|complaint| sink.complain(at.place, complaint)).ok()
}

/// The complaint with the key's name in front and, failing another, this hint.
fn named(key: &str, complaint: Complaint, hint: &str) -> Complaint {
    let what = complaint.what.strip_prefix("`` ").unwrap_or(&complaint.what);
    Complaint::new(format!("`{key}` {what}"), complaint.remedy.unwrap_or_else(|| hint.to_owned()))
}

fn integer(value: &DeValue<'_>) -> Option<u128> {
    let number = value.as_integer()?;
    u128::from_str_radix(number.as_str(), number.radix()).ok()
}

fn in_range(n: u128, min: u64, max: u64, scale: u128, words: fn(u64) -> String) -> Result<(), Complaint> {
    let range = u128::from(min) * scale..=u128::from(max) * scale;
    if range.contains(&n) {
        return Ok(());
    }
    let what = format!("must lie between {} and {}", words(min), words(max));
    Err(Complaint {
        what,
        remedy: Some("choose a value in that range, or leave the key out for its default".to_owned()),
    })
}

const DURATION_UNITS: [(&str, u64); 8] = [
    ("ms", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// One or more numbers, each with its unit.
fn duration(text: &str) -> Result<Duration, Complaint> {
    let bad = || Complaint { what: format!("is not a duration: \"{text}\""), remedy: None };
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest).ok_or_else(bad)?;
        let (_, scale) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        total = number.checked_mul(*scale).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

fn size(text: &str) -> Result<u128, Complaint> {
    let bad = || Complaint { what: format!("is not a size: \"{text}\""), remedy: None };
    let (number, unit, after) = number_and_unit(text.trim()).ok_or_else(bad)?;
    let unit = unit.to_ascii_lowercase();
    let (_, scale) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    if !after.is_empty() {
        return Err(bad());
    }
    Ok(u128::from(number) * u128::from(*scale))
}

/// `"1h 30m"` → 1, `h`, `30m`.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at_checked(digits)?;
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at_checked(letters)?;
    Some((number.parse().ok()?, unit, after.trim_start()))
}

/// As one would write it.
pub(crate) fn duration_words(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    match units.iter().find(|(scale, _)| seconds >= *scale && seconds.is_multiple_of(*scale)) {
        Some((scale, unit)) => format!("{}{unit}", seconds / scale),
        None => format!("{seconds}s"),
    }
}

/// As one would write it.
pub(crate) fn size_words(octets: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(scale, _)| octets >= *scale && octets.is_multiple_of(*scale)) {
        Some((scale, unit)) => format!("{} {unit}", octets / scale),
        None => format!("{octets} octets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        let seconds = |text| duration(text).map(|d| d.as_secs_f64()).ok();
        assert_eq!(seconds("90s"), Some(90.0));
        assert_eq!(seconds("1m"), Some(60.0));
        assert_eq!(seconds("1h 30m"), Some(5_400.0));
        assert_eq!(seconds("1h30min"), Some(5_400.0));
        assert_eq!(seconds("3d"), Some(259_200.0));
        assert_eq!(seconds("2w"), Some(1_209_600.0));
        assert_eq!(seconds("250ms"), Some(0.25));
        for bad in ["", "30", "s", "1 fortnight", "1.5h", "-1s", "99999999999999999999s", "9999999999999999w", "1h,"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal_as_written() {
        let octets = |text| size(text).ok();
        assert_eq!(octets("35 MiB"), Some(35 << 20));
        assert_eq!(octets("256KiB"), Some(256 << 10));
        assert_eq!(octets("1 GB"), Some(1_000_000_000));
        assert_eq!(octets("7 b"), Some(7));
        for bad in ["", "35", "MiB", "1 MiB 2 KiB", "1.5 GiB", "-1 B"] {
            assert_eq!(octets(bad), None, "{bad}");
        }
    }

    #[test]
    fn words_are_those_that_one_would_write() {
        assert_eq!(duration_words(259_200), "3d");
        assert_eq!(duration_words(90), "90s");
        assert_eq!(size_words(150 << 20), "150 MiB");
        assert_eq!(size_words(1000), "1000 octets");
    }
}
