//! Parses and formats sizes and durations with units.

use std::time::Duration;

/// Parses a size in bytes. Units are `B`, `KB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`, in any case; no unit means bytes.
pub fn read_size(text: &str) -> Result<u64, String> {
    let wanted = || "a size such as 100MiB, 500MB or 1048576 (units B, KB, KiB, MB, MiB, GB, GiB), or 0 for no limit".to_owned();
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "kib" => 1 << 10,
        "mb" => 1_000_000,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return Err(wanted()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wanted)
}

/// Formats a size in the largest binary unit that divides it, for messages.
pub fn size_in_words(bytes: u64) -> String {
    for (unit, name) in [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    format!("{bytes} bytes")
}

/// Parses a duration with a unit: `ms`, `s`, `m`, `h`. `0` needs no unit.
pub fn read_duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a time with a unit, such as 500ms, 25s or 10m".to_owned();
    let (number, unit) = split(text);
    let number: u64 = number.parse().map_err(|_| wanted())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "" if number == 0 => Some(0),
        _ => None,
    };
    // At most one year: timers do not support arbitrarily long times.
    milliseconds.filter(|ms| *ms <= 31_536_000_000).map(Duration::from_millis).ok_or_else(wanted)
}

/// Parses a duration above zero.
pub fn read_positive_duration(text: &str) -> Result<Duration, String> {
    read_duration(text).and_then(|time| if time.is_zero() { Err("a time above zero, such as 10s".to_owned()) } else { Ok(time) })
}

fn split(text: &str) -> (&str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("104857600", 104_857_600),
            ("100MiB", 104_857_600),
            ("100 mib", 104_857_600),
            ("100MB", 100_000_000),
            ("2KB", 2_000),
            ("2KiB", 2_048),
            ("3GB", 3_000_000_000),
            ("3GiB", 3 << 30),
            ("7B", 7),
        ] {
            assert_eq!(read_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "+1", "1.5MiB", "100M", "100 MiB x", "99999999999GiB", "1e6", "１"] {
            assert!(read_size(text).is_err(), "{text}");
        }
        assert_eq!(size_in_words(104_857_600), "100 MiB");
        assert_eq!(size_in_words(100_000_000), "100000000 bytes");
    }

    #[test]
    fn times() {
        for (text, ms) in [("500ms", 500), ("25s", 25_000), ("10m", 600_000), ("2h", 7_200_000), ("0", 0), ("0s", 0)] {
            assert_eq!(read_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "25", "1d", "-1s", "1.5s", "999999999999h", "9000h"] {
            assert!(read_duration(text).is_err(), "{text}");
        }
        assert!(read_positive_duration("0s").is_err());
    }
}
