//! The values of scalars without quotes, as js-yaml 4 reads them: Immich reads its configuration file with it.
//!
//! [`normalized`] rewrites a document so that any YAML parser reads it like js-yaml: numbers in their plain decimal form, texts that look like
//! numbers in quotes. A date without quotes is an error, because js-yaml makes a `Date` of it, and Immich does not start.

use anyhow::{Context as _, bail};
use granit_parser::{Event, Parser, ScalarStyle};

/// A scalar without quotes, as js-yaml reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// Null, a boolean or a text: other parsers agree.
    Same,
    /// A number.
    Number(f64),
    /// A text, although it looks like a number.
    Text,
    /// A date.
    Date,
}

/// Rewrites a document as described above.
///
/// # Errors
/// If the text has a date, or a number without a finite value, outside quotes.
pub fn normalized(text: &str) -> anyhow::Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for event in Parser::new_from_str(text) {
        // What is not YAML is reported by the parser of the values.
        let Ok((event, span)) = event else { return Ok(text.to_owned()) };
        let Event::Scalar(value, ScalarStyle::Plain, _, None) = event else { continue };
        let range = span.byte_range().context("no place in the source")?;
        let replacement = match resolve(&value) {
            Scalar::Same => continue,
            Scalar::Date => bail!(
                "line {}: found the date {value} without quotes, wanted \"{value}\": Immich would read a date, and not start",
                span.start.line()
            ),
            Scalar::Number(number) if !number.is_finite() => {
                bail!("line {}: found {value}, wanted a number with a finite value", span.start.line())
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked: a whole number that f64 holds exactly")]
            Scalar::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => (number as i64).to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Text => format!("\"{value}\""),
        };
        out.push_str(&text[copied..range.start]);
        out.push_str(&replacement);
        copied = range.end;
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// The value of a scalar without quotes: js-yaml's resolvers `int`, `float` and `timestamp` (YAML 1.2 core schema, with binary numbers and dates).
#[must_use]
pub fn resolve(text: &str) -> Scalar {
    if is_date(text) {
        return Scalar::Date;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    for (prefix, radix) in [("0b", 2), ("0o", 8), ("0x", 16)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            let value = || {
                digits.chars().filter_map(|c| c.to_digit(radix)).fold(0.0, |sum, digit| sum * f64::from(radix) + f64::from(digit))
            };
            return if is_number { Scalar::Number(sign * value()) } else { Scalar::Text };
        }
    }
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Scalar::Number(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Scalar::Number(f64::NAN),
        _ => {}
    }
    let is_number = is_decimal(unsigned) && (unsigned == text || !unsigned.starts_with('.'));
    match unsigned.parse::<f64>() {
        // A number that is too large for JavaScript stays a text.
        Ok(value) if is_number && value.is_finite() => Scalar::Number(sign * value),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && !text.contains([' ', '\n', '"', '\\']) => {
            Scalar::Text
        }
        _ => Scalar::Same,
    }
}

/// Digits, then a fraction and an exponent that may be absent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) =
        text.split_once(['e', 'E']).map_or((text, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    let exponent_is_good = exponent.is_none_or(|exponent| {
        let number = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !number.is_empty() && digits(number)
    });
    has_digits && digits(whole) && digits(fraction) && exponent_is_good
}

/// `YYYY-MM-DD`, or a date with a time of one or two digits for month, day and hour.
fn is_date(text: &str) -> bool {
    let digits = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (date, time) = match text.find(['T', 't', ' ', '\t']) {
        Some(place) => (&text[..place], Some(text[place + 1..].trim_start_matches([' ', '\t']))),
        None => (text, None),
    };
    let parts: Vec<_> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let Some(time) = time else { return digits(year, 4..=4) && digits(month, 2..=2) && digits(day, 2..=2) };
    let zone = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let clock = time[..zone].trim_end_matches([' ', '\t']);
    let zone = time[zone..].trim_start_matches(['Z', '+', '-']);
    let clock: Vec<_> = clock.split(':').collect();
    let [hour, minute, second] = clock[..] else { return false };
    let (second, fraction) = second.split_once('.').unwrap_or((second, ""));
    let zone_is_good =
        zone.split(':').enumerate().all(|(place, part)| if place == 0 { digits(part, 0..=2) } else { digits(part, 2..=2) });
    digits(year, 4..=4)
        && digits(month, 1..=2)
        && digits(day, 1..=2)
        && digits(hour, 1..=2)
        && digits(minute, 2..=2)
        && digits(second, 2..=2)
        && digits(fraction, 0..=usize::MAX)
        && zone_is_good
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What js-yaml 4.3.2 printed for `k: SCALAR`.
    #[test]
    fn every_form_of_a_scalar_is_what_js_yaml_makes_of_it() {
        for (text, value) in [
            ("3e4", 30_000.0),
            ("030000", 30_000.0),
            ("0x1F", 31.0),
            ("0o17", 15.0),
            ("0b11", 3.0),
            ("+5", 5.0),
            ("-5", -5.0),
            ("+0x1F", 31.0),
            ("3.", 3.0),
            (".5", 0.5),
            ("3.5", 3.5),
            ("1e3", 1000.0),
            ("1E+3", 1000.0),
            ("09", 9.0),
            ("0", 0.0),
            ("00", 0.0),
            ("1.e3", 1000.0),
            (".5e1", 5.0),
            ("0777", 777.0),
            ("99999999999999999999", 1e20),
        ] {
            assert_eq!(resolve(text), Scalar::Number(value), "{text}");
        }
        for text in [".inf", "-.INF", "+.inf", ".nan", ".NaN"] {
            assert!(matches!(resolve(text), Scalar::Number(number) if !number.is_finite()), "{text}");
        }
        for text in [
            "1_000", "1_", "1e", "2024-1-1", "12:30", "1:30:00", "+.5", "-.5", "0o8", "0xg", "1__0", "1,000", "0_1", "0x_1F",
            "1e1_0", ".", "+", "..5", "1.2.3", "1e400", "0B11", "0X1F", "0O17",
        ] {
            assert_eq!(resolve(text), Scalar::Text, "{text}");
        }
        for text in ["2024-01-01", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43", "2024-01-01T00:00:00Z"] {
            assert_eq!(resolve(text), Scalar::Date, "{text}");
        }
        for text in
            ["true", "True", "yes", "on", "null", "~", "nil", "e3", "<<", "=", "NaN", "Infinity", "", "_1", "True1", "3 e4"]
        {
            assert_eq!(resolve(text), Scalar::Same, "{text}");
        }
    }

    #[test]
    fn a_document_is_rewritten_at_its_scalars_only() {
        let text = "a: 3e4 # 3e4\n'b': '3e4'\nlist: [030000, x, 1_000]\n? 0x10\n: &x -.5\nc: *x\nd: |\n  3e4\n";
        let wanted = "a: 30000 # 3e4\n'b': '3e4'\nlist: [30000, x, \"1_000\"]\n? 16\n: &x \"-.5\"\nc: *x\nd: |\n  3e4\n";
        assert_eq!(normalized(text).unwrap(), wanted);
        let error = normalized("oauth:\n  clientId: 2024-01-01\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("wanted \"2024-01-01\""), "{error}");
        assert!(normalized("a: '2024-01-01'\n").is_ok());
        assert!(normalized("a: .inf\n").is_err());
        assert_eq!(normalized("a: [").unwrap(), "a: [");
    }
}
