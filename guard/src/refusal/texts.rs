//! The texts of the refusal pages: one file for each language, and the same fields in each, so that the compiler finds one that is missing.
//!
//! A text is plain, without markup. `{address}` and `{limit}` stand for the visitor's address and the limit.

mod de;
mod el;
mod en;
mod es;
mod fr;
mod zh;

use super::language::Language;

/// The texts of one language.
pub(super) struct Texts {
    /// 401.
    pub(super) unauthorized: Words,
    /// The link of a 401.
    pub(super) sign_in: &'static str,
    /// 403, where the address of the visitor is not known.
    pub(super) forbidden: Words,
    /// The message of a 403 with `{address}`.
    pub(super) forbidden_as: &'static str,
    /// Who can help after a 403.
    pub(super) ask: &'static str,
    /// The link to sign out, after a 403.
    pub(super) other_account: &'static str,
    /// 413, with `{limit}`.
    pub(super) too_large: Words,
    /// The link to the page for large files.
    pub(super) upload_in_parts: &'static str,
    /// Stands before the address at home.
    pub(super) at_home: &'static str,
    /// The same where that address is not known.
    pub(super) upload_at_home: &'static str,
    /// 421.
    pub(super) misdirected: Words,
    /// 502 and 504.
    pub(super) unreachable: Words,
    /// 503 while guard starts, ends, or has too much to do.
    pub(super) busy: Words,
    /// 503 where the auth server does not answer.
    pub(super) sign_in_unreachable: Words,
    /// 408.
    pub(super) stopped: Words,
    /// 400, 405 and 431.
    pub(super) not_understood: Words,
    /// The page tries again by itself.
    pub(super) tries_again: &'static str,
    /// The link to try again at once.
    pub(super) try_now: &'static str,
    /// Stands before the request id.
    pub(super) number: &'static str,
}

/// A heading, and the message below it.
pub(super) struct Words {
    pub(super) heading: &'static str,
    pub(super) message: &'static str,
}

const fn words(heading: &'static str, message: &'static str) -> Words {
    Words { heading, message }
}

impl Texts {
    /// The texts of a language.
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &en::TEXTS,
            Language::German => &de::TEXTS,
            Language::French => &fr::TEXTS,
            Language::Spanish => &es::TEXTS,
            Language::Greek => &el::TEXTS,
            Language::Chinese => &zh::TEXTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn all(texts: &'static Texts) -> Vec<&'static str> {
        let Texts {
            unauthorized,
            sign_in,
            forbidden,
            forbidden_as,
            ask,
            other_account,
            too_large,
            upload_in_parts,
            at_home,
            upload_at_home,
            misdirected,
            unreachable,
            busy,
            sign_in_unreachable,
            stopped,
            not_understood,
            tries_again,
            try_now,
            number,
        } = texts;
        let words =
            [unauthorized, forbidden, too_large, misdirected, unreachable, busy, sign_in_unreachable, stopped, not_understood];
        let single =
            [sign_in, forbidden_as, ask, other_account, upload_in_parts, at_home, upload_at_home, tries_again, try_now, number];
        words.iter().flat_map(|words| [words.heading, words.message]).chain(single.into_iter().copied()).collect()
    }

    #[test]
    fn each_language_has_every_text_and_none_has_markup() {
        let english: HashSet<_> = all(Texts::of(Language::English)).into_iter().collect();
        for language in Language::ALL {
            let texts = all(Texts::of(language));
            assert_eq!(texts.len(), english.len(), "{language:?}: no text twice");
            for text in texts {
                assert!(!text.trim().is_empty() && text.trim() == text, "{language:?}: {text:?}");
                assert!(!text.contains(['<', '>', '&', '"', '\\', '\n']), "{language:?}: {text}");
                assert!(text.chars().count() <= 130, "{language:?}: a page is short: {text}");
                assert!(language == Language::English || !english.contains(text), "{language:?}: not translated: {text}");
            }
        }
    }

    #[test]
    fn each_language_names_the_address_and_the_limit_once() {
        for language in Language::ALL {
            let texts = Texts::of(language);
            let places = |place: &str| all(texts).iter().map(|text| text.matches(place).count()).sum::<usize>();
            assert_eq!((places("{address}"), places("{limit}"), places("{")), (1, 1, 2), "{language:?}");
            assert!(texts.forbidden_as.contains("{address}") && texts.too_large.message.contains("{limit}"), "{language:?}");
        }
    }
}
