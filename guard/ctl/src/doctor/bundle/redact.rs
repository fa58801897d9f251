//! Takes out of a text what must not leave the home, in whatever encoding it stands there: enters a text, leaves it with `[password-1]` in place of
//! each value. The same value has the same number in the whole bundle, so that whoever reads it still sees what belongs together.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use super::find;
use super::view::View;

/// How often a text is decoded: a token in JSON in a URL in base64.
const DEPTH: usize = 4;
/// A known value this short is looked for as a whole word only.
const SHORT: usize = 8;
/// Values of Secrets that are no secrets, and stand in every manifest.
const COMMON: &[&str] = &["immich", "postgres", "true", "false", "latest", "cloudflared"];

/// What takes private values out of texts.
#[derive(Default)]
pub(super) struct Redactor {
    /// The values of the home's Secrets.
    known: Vec<String>,
    /// The number of each value that was found.
    numbers: BTreeMap<(&'static str, String), usize>,
}

impl Redactor {
    /// One that knows these secret values, beside all that it finds by its form.
    pub(super) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut known: Vec<String> = Vec::new();
        for value in values {
            // A value of several lines is looked for by line, too: programs log lines.
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORT).map(str::to_owned);
            known.extend(std::iter::once(value.trim().to_owned()).chain(lines));
        }
        known.retain(|value| value.len() > 2 && !COMMON.contains(&value.as_str()));
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
        known.dedup();
        Self { known, numbers: BTreeMap::new() }
    }

    /// The text without what is private.
    pub(super) fn text(&mut self, text: &str) -> String {
        let found = self.find(text);
        let mut clean = self.replace(text, found);
        // What is still there after a replacement is one of a kind that names only the place: then its whole lines go.
        for _ in 0..DEPTH {
            let left = self.find(&clean);
            if left.is_empty() {
                return clean;
            }
            let lines = View::of(&clean).lines().collect::<Vec<_>>();
            let touched = |line: &Range<usize>| {
                left.iter().find(|(range, _)| range.start < line.end.max(line.start + 1) && line.start < range.end).map(|it| it.1)
            };
            let kept: Vec<_> = lines
                .iter()
                .map(|line| match touched(line) {
                    Some(label) => format!("[a line with {label}]"),
                    None => clean[line.clone()].to_owned(),
                })
                .collect();
            clean = kept.join("\n");
        }
        format!("[{} lines that could not be made clean]\n", text.lines().count())
    }

    fn replace(&mut self, text: &str, mut found: Vec<(Range<usize>, &'static str)>) -> String {
        found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut merged: Vec<(Range<usize>, &'static str)> = Vec::new();
        for (range, label) in found {
            match merged.last_mut() {
                Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push((range, label)),
            }
        }
        let mut clean = String::with_capacity(text.len());
        let mut at = 0;
        for (range, label) in merged {
            clean.push_str(&text[at..range.start]);
            let next = self.numbers.keys().filter(|(known, _)| *known == label).count() + 1;
            let number = *self.numbers.entry((label, text[range.clone()].to_owned())).or_insert(next);
            // Writing into a String cannot fail.
            let _ = write!(clean, "[{label}-{number}]");
            // What is split over lines keeps its lines: the rest of the text keeps its place.
            clean.extend(text[range.clone()].chars().filter(|character| *character == '\n'));
            at = range.end;
        }
        clean.push_str(&text[at..]);
        clean
    }

    /// What is private in a text, and in its decoded forms.
    fn find(&self, text: &str) -> Vec<(Range<usize>, &'static str)> {
        let mut found = Vec::new();
        let mut views = vec![(View::of(text), 0, false)];
        while let Some((view, depth, is_joined)) = views.pop() {
            self.find_in(&view, &mut found);
            if depth == DEPTH {
                continue;
            }
            views.extend(view.decoded().map(|view| (view, depth + 1, is_joined)));
            views.extend(view.unpacked().into_iter().map(|view| (view, depth + 1, is_joined)));
            if !is_joined {
                views.extend(view.joined().into_iter().map(|view| (view, depth + 1, true)));
            }
        }
        found
    }

    fn find_in(&self, view: &View, found: &mut Vec<(Range<usize>, &'static str)>) {
        let mut add = |range: Range<usize>, label| found.push((view.original(&range), label));
        for line in view.lines().filter(|line| line.len() > 2) {
            for (range, label) in find::line(&view.text[line.clone()]) {
                add(line.start + range.start..line.start + range.end, label);
            }
        }
        for range in keys(&view.text) {
            add(range, "private-key");
        }
        for value in &self.known {
            for (start, text) in view.text.match_indices(value.as_str()) {
                let range = start..start + text.len();
                let is_inside = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
                let is_part =
                    is_inside(view.text[..range.start].chars().next_back()) || is_inside(view.text[range.end..].chars().next());
                if value.len() >= SHORT || !is_part {
                    add(range, "secret-value");
                }
            }
        }
    }
}

/// Private keys in PEM format (RFC 7468): from their begin to their end, or to the end of the text.
fn keys(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices(concat!("-----", "BEGIN")) {
        let label = text[start..].lines().next().unwrap_or_default();
        if !label.contains("PRIVATE") {
            continue;
        }
        let end = text[start..].find("-----END").map_or(text.len(), |at| {
            let line = start + at;
            line + 8 + text[line + 8..].find("-----").map_or(0, |at| at + 5)
        });
        found.push(start..end.min(text.len()));
    }
    found
}
