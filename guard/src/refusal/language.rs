//! The language of a refusal page: `Accept-Language` goes in, one of the languages that there are texts for comes out.
//!
//! RFC 9110, 12.5.4 for the header, with weights; RFC 4647, 3.4 ("lookup") for the match. What is out of bounds or malformed is passed over.

use hyper::header::{ACCEPT_LANGUAGE, HeaderMap};

/// The most ranges that are read. Browsers send fewer than 10.
const MAX_RANGES: usize = 32;
/// The longest range that is read, in bytes (RFC 5646, 4.4.1: 35 are enough for every tag in use).
const MAX_RANGE_BYTES: usize = 35;

/// A language that there are texts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, also where no other one fits.
    #[default]
    English,
    /// German.
    German,
    /// French.
    French,
    /// Spanish.
    Spanish,
    /// Greek.
    Greek,
    /// Chinese, in simplified letters. Who reads the traditional ones gets them too where no other language is wanted more.
    Chinese,
}

impl Language {
    /// Every language, in the order of the variants.
    pub const ALL: [Self; 6] = [Self::English, Self::German, Self::French, Self::Spanish, Self::Greek, Self::Chinese];

    /// The language tag (RFC 5646), for `Content-Language` and `lang`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Greek => "el",
            Self::Chinese => "zh-Hans",
        }
    }

    /// The language that the client wants most; English where there is none of those that it wants.
    pub fn preferred(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
        let mut best = (0, Self::English);
        for range in lines.flat_map(|line| line.split(',')).take(MAX_RANGES) {
            let Some((range, weight)) = parse(range) else { continue };
            // The first one of the same weight counts.
            if let (Some(language), true) = (Self::of_range(range), weight > best.0) {
                best = (weight, language);
            }
        }
        best.1
    }

    /// The language that a range leads to. Lookup removes subtags from the end until a tag is left that there is: `de-CH-1996` becomes `de`.
    fn of_range(range: &str) -> Option<Self> {
        let primary = range.split('-').next()?;
        Self::ALL
            .into_iter()
            .find(|language| language.tag().split('-').next().is_some_and(|tag| tag.eq_ignore_ascii_case(primary)))
    }
}

/// A range and its weight in thousandths.
fn parse(text: &str) -> Option<(&str, u16)> {
    let (range, weight) = match text.split_once(';') {
        None => (text, 1000),
        Some((range, weight)) => {
            let weight = weight.trim_matches([' ', '\t']);
            (range, thousandths(weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?)?)
        }
    };
    let range = range.trim_matches([' ', '\t']);
    let is_range = !range.is_empty() && range.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_range && range.len() <= MAX_RANGE_BYTES).then_some((range, weight))
}

/// A weight (RFC 9110, 12.4.2): 0 to 1, with three digits at most after the dot.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: u16 = format!("{rest:0<3}").parse().ok()?;
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn of(lines: &[&str]) -> Language {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_LANGUAGE, HeaderValue::from_str(line).unwrap());
        }
        Language::preferred(&headers)
    }

    #[test]
    fn the_wanted_language_is_found_by_its_weight_and_without_its_region() {
        for (wanted, language) in [
            ("de-DE,de;q=0.9,en;q=0.8", Language::German),
            ("en;q=0.5, fr-CA;q=0.7", Language::French),
            ("es-419", Language::Spanish),
            ("EL-gr", Language::Greek),
            ("de-CH-1996", Language::German),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("zh-Hans-SG", Language::Chinese),
            ("zh-TW,zh;q=0.9", Language::Chinese),
            ("nl, da;q=0.9, de;q=0.5", Language::German),
            ("fr;q=0.8,es;q=0.8", Language::French),
            ("fr ; q=1.000 ,\tde;q=0.999", Language::French),
            ("en-GB, de", Language::English),
        ] {
            assert_eq!(of(&[wanted]), language, "{wanted}");
        }
        assert_eq!(of(&["it;q=0.9", "el;q=0.4, es;q=0.5"]), Language::Spanish, "several lines are one list");
    }

    #[test]
    fn an_unknown_language_and_a_malformed_header_mean_english() {
        let long = format!("{},de", "x".repeat(4000));
        for (wanted, language) in [
            ("", Language::English),
            ("*", Language::English),
            ("pt-BR", Language::English),
            ("de;q=0", Language::English),
            ("de;q=0.000, *", Language::English),
            ("de;q=1.5", Language::English),
            ("de;q=0.1234", Language::English),
            ("de;q=-1", Language::English),
            ("de;q=", Language::English),
            ("de;level=1", Language::English),
            ("d e", Language::English),
            ("deutsch", Language::English),
            ("<script>", Language::English),
            (&long, Language::German),
        ] {
            assert_eq!(of(&[wanted]), language, "{wanted}");
        }
        assert_eq!(of(&[]), Language::English);
        let many = format!("{}de", "nl,".repeat(MAX_RANGES));
        assert_eq!(of(&[&many]), Language::English, "the number of ranges is bounded");
    }
}
