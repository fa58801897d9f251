//! Percent-encoding of text inside a query or a form (RFC 3986, 2.1 and 2.3).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but the unreserved characters of RFC 3986, 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes text so that it is one value of a query or of a form.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Decodes one value of a query, where `+` stands for a space; none where an escape is incomplete or the result is not UTF-8.
pub fn decode_form(text: &str) -> Option<String> {
    if has_broken_escape(text) {
        return None;
    }
    percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Decodes every escape that is complete, for a check; what is not UTF-8 becomes U+FFFD.
pub fn decode(text: &str) -> std::borrow::Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// Whether a `%` is not followed by two hexadecimal digits.
pub fn has_broken_escape(text: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|at| bytes[at] == b'%' && !(is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreserved_characters_stay_and_all_others_are_encoded() {
        assert_eq!(encode("aZ09-._~"), "aZ09-._~");
        assert_eq!(encode("1&b=2 +/ä%"), "1%26b%3D2%20%2B%2F%C3%A4%25");
    }

    #[test]
    fn a_broken_escape_is_not_decoded() {
        assert_eq!(decode_form("a%2Fb+c").as_deref(), Some("a/b c"));
        for broken in ["%", "%2", "%zz", "a%2", "%ff"] {
            assert_eq!(decode_form(broken), None, "{broken}");
        }
    }
}
