//! `Upload-Metadata` (tus 1.0, creation): what a client says about its file, checked before Immich is connected to.
//!
//! Immich looks at most of these values only after the last byte of the file, so guard refuses here what Immich would refuse then.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::clock;

/// The longest header, in bytes. Cloudflare passes 16 KiB for one header.
pub const MAX_BYTES: usize = 8 * 1024;
/// The longest name of a file, in bytes: that of Linux (`NAME_MAX`).
const MAX_NAME_BYTES: usize = 255;
/// The longest other value, in bytes.
const MAX_VALUE_BYTES: usize = 1024;

/// Whether a value has the form of its field.
type Form = fn(&str) -> bool;

/// The fields of Immich's upload beside the file (`POST /api/assets`), and the form of their values.
const FIELDS: [(&str, Form); 9] = [
    ("deviceAssetId", is_text),
    ("deviceId", is_text),
    ("fileCreatedAt", is_date),
    ("fileModifiedAt", is_date),
    ("duration", is_text),
    ("isFavorite", |value| matches!(value, "true" | "false")),
    ("visibility", |value| matches!(value, "timeline" | "archive" | "hidden" | "locked")),
    ("livePhotoVideoId", is_uuid),
    ("metadata", is_text),
];

/// What a client said about its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The name of the file, without a folder.
    pub filename: String,
    /// The extension, in lower case, with its dot.
    pub extension: String,
    /// The content type; none where the client gave none, or nothing like one.
    pub content_type: Option<String>,
    /// The checksum (SHA-1), by which Immich finds a file that it has already.
    pub checksum: Option<String>,
    /// The other fields for Immich, in the order of the form.
    pub fields: Vec<(&'static str, String)>,
}

impl Metadata {
    /// Reads the header. The error says what is wrong, for the client.
    pub fn read(header: &[u8]) -> Result<Self, String> {
        if header.len() > MAX_BYTES {
            return Err(format!("Upload-Metadata has {} bytes, wanted {MAX_BYTES} at most", header.len()));
        }
        let values = decode(header)?;
        // The names of this protocol's clients: Uppy and TUSKit write both.
        let value = |names: [&str; 2]| names.iter().find_map(|name| values.get(*name)).filter(|value| !value.is_empty());
        let name = value(["filename", "name"]).ok_or("Upload-Metadata has no filename")?;
        let filename = name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        if filename.is_empty() || filename.len() > MAX_NAME_BYTES || !is_text(&filename) {
            return Err(format!("filename: wanted 1 to {MAX_NAME_BYTES} bytes without control characters"));
        }
        let extension = match filename.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() && is_token(extension) => format!(".{}", extension.to_lowercase()),
            _ => return Err("filename: wanted an extension, by which Immich knows the kind of file".to_owned()),
        };
        let content_type = value(["filetype", "type"]).filter(|text| is_content_type(text)).cloned();
        let checksum = values.get("checksum").filter(|text| !text.is_empty()).cloned();
        if checksum.as_ref().is_some_and(|text| !is_sha1(text)) {
            return Err("checksum: wanted a SHA-1 in hexadecimal or base64".to_owned());
        }
        let mut fields = Vec::new();
        for (field, is_good) in FIELDS {
            match values.get(field) {
                // Clients that write every field of a form write "null" for one that is empty.
                Some(value) if !value.is_empty() && value != "null" => {
                    if value.len() > MAX_VALUE_BYTES || !is_good(value) {
                        return Err(format!("{field}: not a value that Immich takes"));
                    }
                    fields.push((field, value.clone()));
                }
                _ if field.starts_with("file") => fields.push((field, now())),
                _ => {}
            }
        }
        Ok(Self { filename, extension, content_type, checksum, fields })
    }
}

/// `key base64,key base64,key`. Keys are unique; a value may be absent.
fn decode(header: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(header).map_err(|_| "Upload-Metadata is not ASCII")?;
    let mut values = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let decoded = STANDARD.decode(value.trim()).map_err(|_| format!("Upload-Metadata: {key} is not base64"))?;
        let decoded = String::from_utf8(decoded).map_err(|_| format!("Upload-Metadata: {key} is not UTF-8"))?;
        if values.insert(key.to_owned(), decoded).is_some() {
            return Err(format!("Upload-Metadata has {key} twice"));
        }
    }
    Ok(values)
}

fn now() -> String {
    let mut text = String::new();
    clock::push_rfc3339(&mut text, std::time::Duration::from_secs(clock::unix_seconds().min(u64::from(u32::MAX))));
    text
}

fn is_text(value: &str) -> bool {
    !value.contains(char::is_control)
}

fn is_token(value: &str) -> bool {
    (1..=16).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_content_type(value: &str) -> bool {
    let is_name = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
    };
    value.split_once('/').is_some_and(|(kind, name)| is_name(kind) && is_name(name))
}

fn is_sha1(value: &str) -> bool {
    let is_hex = value.len() == 40 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex || STANDARD.decode(value).is_ok_and(|bytes| bytes.len() == 20)
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(
            |(place, byte)| {
                if matches!(place, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() }
            },
        )
}

/// ISO 8601 as Immich takes it: `2026-11-25T12:00:00`, with a fraction or without, and `Z` or an offset.
fn is_date(value: &str) -> bool {
    let number = |from: usize, to: usize| -> Option<u32> {
        value.get(from..to).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
    };
    let is_at = |place: usize, wanted: u8| value.as_bytes().get(place) == Some(&wanted);
    let date = (number(0, 4), number(5, 7), number(8, 10));
    let time = (number(11, 13), number(14, 16), number(17, 19));
    let (Some(_), Some(1..=12), Some(1..=31)) = date else { return false };
    let (Some(0..=23), Some(0..=59), Some(0..=60)) = time else { return false };
    if !(is_at(4, b'-') && is_at(7, b'-') && is_at(10, b'T') && is_at(13, b':') && is_at(16, b':')) {
        return false;
    }
    let rest = &value[19..];
    let rest = rest.strip_prefix('.').map_or(rest, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
    match rest.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', offset @ ..] => {
            matches!(offset, [a, b, b':', c, d] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pairs: &[(&str, &str)]) -> String {
        pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn what_a_client_says_is_read_and_nothing_else_is_passed_on() {
        let text = header(&[
            ("filename", "DCIM/Été 2026 \"1\".MOV"),
            ("filetype", "video/quicktime"),
            ("fileCreatedAt", "2026-08-01T10:00:00.123+02:00"),
            ("isFavorite", "true"),
            ("livePhotoVideoId", "null"),
            ("relativePath", "null"),
            ("name", "ignored.jpg"),
        ]);
        let read = Metadata::read(text.as_bytes()).unwrap();
        assert_eq!((&*read.filename, &*read.extension), ("Été 2026 \"1\".MOV", ".mov"));
        assert_eq!(read.content_type.as_deref(), Some("video/quicktime"));
        let names: Vec<_> = read.fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["fileCreatedAt", "fileModifiedAt", "isFavorite"], "a missing date is now");
        assert!(is_date(&read.fields[1].1), "{}", read.fields[1].1);
    }

    #[test]
    fn what_immich_would_refuse_late_is_refused_here() {
        let long = format!("{}.jpg", "x".repeat(300));
        for (pairs, wanted) in [
            (&[("filetype", "image/jpeg")][..], "no filename"),
            (&[("filename", "")], "no filename"),
            (&[("filename", "folder/")], "1 to 255"),
            (&[("filename", "a\r\nb.jpg")], "control"),
            (&[("filename", long.as_str())], "1 to 255"),
            (&[("filename", "noextension")], "extension"),
            (&[("filename", ".jpg")], "extension"),
            (&[("filename", "a.jpg"), ("fileCreatedAt", "yesterday")], "fileCreatedAt"),
            (&[("filename", "a.jpg"), ("fileModifiedAt", "2026-13-01T00:00:00Z")], "fileModifiedAt"),
            (&[("filename", "a.jpg"), ("livePhotoVideoId", "1")], "livePhotoVideoId"),
            (&[("filename", "a.jpg"), ("visibility", "everybody")], "visibility"),
            (&[("filename", "a.jpg"), ("checksum", "12")], "checksum"),
            (&[("filename", "a.jpg"), ("filename", "b.jpg")], "twice"),
        ] {
            let error = Metadata::read(header(pairs).as_bytes()).unwrap_err();
            assert!(error.contains(wanted), "{pairs:?}: {error}");
        }
        for (text, wanted) in [("filename !!!", "base64"), ("filename /w==", "UTF-8"), ("filename \u{e9}", "base64")] {
            let error = Metadata::read(text.as_bytes()).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert!(Metadata::read(&vec![b'a'; MAX_BYTES + 1]).unwrap_err().contains("8193 bytes"));
        assert!(Metadata::read(b"").unwrap_err().contains("no filename"));
    }

    #[test]
    fn dates_are_those_that_immich_takes() {
        for good in ["2026-11-25T12:00:00Z", "2026-11-25T12:00:00.5Z", "2026-11-25T23:59:60+05:30", "1890-01-01T00:00:00-00:00"] {
            assert!(is_date(good), "{good}");
        }
        for bad in
            ["2026-11-25", "2026-11-25T12:00:00", "2026-11-25 12:00:00Z", "2026-1-25T12:00:00Z", "2026-11-25T24:00:00Z", "é", ""]
        {
            assert!(!is_date(bad), "{bad}");
        }
    }
}
