//! German.

use super::{Texts, words};

pub(super) const TEXTS: Texts = Texts {
    unauthorized: words("Bitte melde dich an", "Du bist hier nicht angemeldet, oder deine Anmeldung ist abgelaufen."),
    sign_in: "Anmelden",
    forbidden: words("Dieses Konto hat noch keinen Zugang", "Du bist mit einem Konto angemeldet, das keinen Zugang hat."),
    forbidden_as: "Du bist als {address} angemeldet.",
    ask: "Bitte frage die Person, die sich um diese Fotos kümmert, ob sie dein Konto freischaltet.",
    other_account: "Ein anderes Konto verwenden",
    too_large: words("Diese Datei ist zu groß", "Über das Internet darf ein Upload höchstens {limit} groß sein."),
    upload_in_parts: "In Teilen hochladen",
    at_home: "Zu Hause gibt es diese Grenze nicht:",
    upload_at_home: "Bitte lade sie zu Hause hoch.",
    misdirected: words(
        "Unter dieser Adresse gibt es keine Fotos",
        "Bitte prüfe die Adresse im Browser, oder frage die Person, die dir den Link geschickt hat.",
    ),
    unreachable: words("Deine Fotos sind sicher", "Der Fotoserver antwortet im Moment nicht. Du musst nichts tun."),
    busy: words("Einen Moment, bitte", "Der Server startet gerade oder hat viel zu tun. Deine Fotos sind sicher."),
    sign_in_unreachable: words(
        "Die Anmeldung geht gerade nicht",
        "Der Dienst, der die Anmeldung prüft, antwortet nicht. Deine Fotos sind sicher.",
    ),
    stopped: words(
        "Der Upload ist abgebrochen",
        "Es kamen keine Daten mehr an. Bitte versuche es noch einmal, am besten mit gutem Empfang.",
    ),
    not_understood: words("Diese Anfrage war nicht zu verstehen", "Bitte gehe zurück und versuche es noch einmal."),
    tries_again: "Diese Seite versucht es von selbst wieder.",
    try_now: "Jetzt noch einmal versuchen",
    number: "Wenn du um Hilfe bittest, nenne diese Nummer:",
};
