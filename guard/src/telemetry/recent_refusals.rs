//! The last refused requests, with their true cause, for the status page. Equal ones are one entry with a count, and the number of entries is
//! bounded.
//!
//! An entry never holds a query string, a header, an address of a person or a client, or a part of a path that could be a secret: each entry is
//! reduced before it is stored.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::refusal::{Reason, RequestId};

/// The number of entries about authenticated requests, and the same number about others: strangers cannot push out those of the family.
pub const MAX_ENTRIES: usize = 10;
/// The longest segment of a path that is shown, in bytes. An id of Immich has 36; keys and tokens are longer.
const MAX_SEGMENT_BYTES: usize = 40;
/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 120;
/// The longest cause, in bytes.
const MAX_CAUSE_BYTES: usize = 240;
/// The methods that are named. Any other text is one that the client made up.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

/// One or more refused requests that differ in their time only.
#[derive(Clone, Debug)]
pub struct RefusedRequest {
    /// The id of the last one.
    pub id: RequestId,
    /// The time of the last one.
    pub at: Instant,
    /// How many there were in a row of entries.
    pub count: u64,
    /// The public reason.
    pub reason: Reason,
    /// The true cause.
    pub cause: String,
    /// The method and the path; empty where the head could not be read.
    pub target: String,
    /// Whether the client had shown who it is.
    pub is_authenticated: bool,
}

impl RefusedRequest {
    /// One request that was refused now.
    pub fn now(id: RequestId, reason: Reason, cause: &str, target: Option<(&str, &str)>, is_authenticated: bool) -> Self {
        let target = target.map_or_else(String::new, |(method, path)| {
            let method = METHODS.iter().find(|known| **known == method).unwrap_or(&"another method");
            format!("{method} {}", reduced_path(path))
        });
        Self { id, at: Instant::now(), count: 1, reason, cause: reduced_cause(cause), target, is_authenticated }
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.reason, self.is_authenticated) == (other.reason, other.is_authenticated)
            && self.target == other.target
            && self.cause == other.cause
    }
}

/// The last refused requests, the newest first.
#[derive(Default)]
pub struct RecentRefusals(Mutex<Vec<RefusedRequest>>);

impl RecentRefusals {
    /// Adds one. The oldest of its kind makes room for it.
    pub fn add(&self, mut new: RefusedRequest) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_its_kind = entries.iter().filter(|entry| entry.is_authenticated == new.is_authenticated).count();
        let replaced = entries.iter().position(|entry| entry.is_like(&new)).or_else(|| {
            (of_its_kind >= MAX_ENTRIES)
                .then(|| entries.iter().rposition(|entry| entry.is_authenticated == new.is_authenticated))
                .flatten()
        });
        if let Some(place) = replaced {
            let old = entries.remove(place);
            new.count += if old.is_like(&new) { old.count } else { 0 };
        }
        entries.insert(0, new);
    }

    /// All entries, the newest first.
    pub fn all(&self) -> Vec<RefusedRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A path without what could be a secret or a person: long segments, escaped ones, and those with an `@`.
fn reduced_path(path: &str) -> String {
    let is_plain = |segment: &str| segment.len() <= MAX_SEGMENT_BYTES && !segment.contains(['@', '%', ';', '?', '#']);
    let segments = path.split('/').map(|segment| if is_plain(segment) { segment } else { "***" });
    cut(&segments.collect::<Vec<_>>().join("/"), MAX_PATH_BYTES).into_owned()
}

/// A cause without addresses. The causes that guard writes have none; this holds for those to come.
fn reduced_cause(cause: &str) -> String {
    let words = cause.split(' ').map(|word| if word.contains('@') { "***" } else { word });
    cut(&words.collect::<Vec<_>>().join(" "), MAX_CAUSE_BYTES).into_owned()
}

fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &str, is_authenticated: bool) -> RefusedRequest {
        RefusedRequest::now(RequestId::next(), Reason::Unauthorized, "expired", Some(("GET", path)), is_authenticated)
    }

    #[test]
    fn the_entries_are_bounded_and_strangers_push_out_strangers_only() {
        let recent = RecentRefusals::default();
        recent.add(refused("/family", true));
        for number in 0..1000 {
            recent.add(refused(&format!("/{number}"), false));
        }
        let all = recent.all();
        assert_eq!(all.len(), MAX_ENTRIES + 1);
        assert_eq!((&*all[0].target, &*all[9].target), ("GET /999", "GET /990"));
        assert_eq!((&*all[10].target, all[10].is_authenticated), ("GET /family", true));
    }

    #[test]
    fn equal_refusals_are_one_entry_with_a_count() {
        let recent = RecentRefusals::default();
        for path in ["/a", "/b", "/a"] {
            recent.add(refused(path, false));
        }
        let all: Vec<_> = recent.all().into_iter().map(|entry| (entry.target, entry.count)).collect();
        assert_eq!(all, [("GET /a".to_owned(), 2), ("GET /b".to_owned(), 1)]);
    }

    #[test]
    fn what_could_be_a_secret_or_a_person_is_not_kept() {
        let id = "0b9c3c1e-8f5d-4a53-9c0e-0d3a8c3f8a11";
        assert_eq!(reduced_path(&format!("/api/assets/{id}/original")), format!("/api/assets/{id}/original"));
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJlbWFpbCI6ImFkYUBleGFtcGxlLmNvbSJ9.c2lnbmF0dXJl";
        assert_eq!(reduced_path(&format!("/x/{token}/y")), "/x/***/y");
        assert_eq!(reduced_path("/u/ada@example.com/ada%40example.com/a?key=1"), "/u/***/***/***");
        assert!(reduced_path(&"/abc".repeat(1000)).len() <= MAX_PATH_BYTES + "…".len());
        assert_eq!(reduced_cause("ada@example.com is not listed"), "*** is not listed");
        let made_up = RefusedRequest::now(RequestId::next(), Reason::BadRequest, "", Some(("SECRET", "/")), false);
        assert_eq!(made_up.target, "another method /");
    }
}
