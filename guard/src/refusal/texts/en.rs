//! English.

use super::{Texts, words};

pub(super) const TEXTS: Texts = Texts {
    unauthorized: words("Please sign in", "You are not signed in here, or your sign-in has ended."),
    sign_in: "Sign in",
    forbidden: words("This account has no access yet", "You are signed in with an account that has no access."),
    forbidden_as: "You are signed in as {address}.",
    ask: "Please ask the person who looks after these photos to add this account.",
    other_account: "Use another account",
    too_large: words("This file is too large", "Over the internet, one upload may have at most {limit}."),
    upload_in_parts: "Upload it in parts",
    at_home: "At home there is no such limit:",
    upload_at_home: "Please upload it at home.",
    misdirected: words(
        "There are no photos at this address",
        "Please check the address in the browser, or ask the person who sent you the link.",
    ),
    unreachable: words(
        "Your photos are safe",
        "The photo server does not answer at the moment. There is nothing that you need to do.",
    ),
    busy: words("One moment, please", "The server is starting, or has a lot to do. Your photos are safe."),
    sign_in_unreachable: words(
        "Signing in does not work at the moment",
        "The service that checks sign-ins does not answer. Your photos are safe.",
    ),
    stopped: words("The upload has stopped", "No more data arrived. Please try again, with a better connection if you can."),
    not_understood: words("This request was not understood", "Please go back and try again."),
    tries_again: "This page tries again by itself.",
    try_now: "Try again now",
    number: "If you ask for help, give this number:",
};
