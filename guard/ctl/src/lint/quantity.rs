//! Parses Kubernetes quantities. Reference: the Kubernetes page "Resource Management for Pods and Containers", units of memory.

/// Returns the value in its base unit (bytes for memory), rounded down, or `None` if the text is not a supported quantity.
pub fn parse(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    let mut total = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.checked_mul(factor)? };
    let mut place = factor;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn memory_is_read_with_its_unit() {
        for (text, bytes) in [
            ("2Gi", Some(2 << 30)),
            ("2048Mi", Some(2 << 30)),
            ("1.5k", Some(1500)),
            ("2000M", Some(2_000_000_000)),
            ("7", Some(7)),
            ("2GiB", None),
            ("many", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
    }
}
