//! Reads header fields that may appear once at most: several lines of one name are an error, never a choice between them.

use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};

/// The header has more than one line of this name. Components differ in which of two lines they use, so neither is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than one header line of this name")]
pub struct Repeated;

/// The only line of this name; none where there is no line.
///
/// # Errors
/// [`Repeated`] where there are two lines or more.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Repeated> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line),
        (_, Some(_)) => Err(Repeated),
    }
}

/// The declared length of a message's body in bytes (RFC 9110, 8.6); none where it is absent or is not a number.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::HOST;

    use super::*;

    #[test]
    fn two_lines_of_one_name_are_an_error() {
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, &HOST), Ok(None));
        headers.append(HOST, HeaderValue::from_static("a"));
        assert_eq!(single(&headers, &HOST), Ok(Some(&HeaderValue::from_static("a"))));
        headers.append(HOST, HeaderValue::from_static("a"));
        assert_eq!(single(&headers, &HOST), Err(Repeated));
    }

    #[test]
    fn a_length_is_a_number_or_absent() {
        let of = |text: &'static str| content_length(&HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static(text))]));
        assert_eq!((of("0"), of("104857600")), (Some(0), Some(104_857_600)));
        assert_eq!((of("-1"), of("1, 1"), of("")), (None, None, None));
        assert_eq!(content_length(&HeaderMap::new()), None);
    }
}
