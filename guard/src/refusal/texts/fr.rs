//! French.

use super::{Texts, words};

pub(super) const TEXTS: Texts = Texts {
    unauthorized: words("Veuillez vous connecter", "Aucune session n’est ouverte ici, ou votre session a expiré."),
    sign_in: "Se connecter",
    forbidden: words("Ce compte n’a pas encore accès", "Le compte que vous utilisez n’a pas accès aux photos."),
    forbidden_as: "Vous utilisez le compte {address}.",
    ask: "Demandez à la personne qui s’occupe de ces photos d’ajouter ce compte.",
    other_account: "Utiliser un autre compte",
    too_large: words("Ce fichier est trop volumineux", "Par internet, un envoi ne peut pas dépasser {limit}."),
    upload_in_parts: "L’envoyer en plusieurs parties",
    at_home: "À la maison, cette limite n’existe pas :",
    upload_at_home: "Envoyez-le depuis la maison.",
    misdirected: words(
        "Il n’y a pas de photos à cette adresse",
        "Vérifiez l’adresse dans le navigateur, ou demandez à la personne qui vous a envoyé le lien.",
    ),
    unreachable: words(
        "Vos photos sont en sécurité",
        "Le serveur de photos ne répond pas pour le moment. Vous n’avez rien à faire.",
    ),
    busy: words("Un instant, s’il vous plaît", "Le serveur démarre, ou il est très occupé. Vos photos sont en sécurité."),
    sign_in_unreachable: words(
        "La connexion est impossible pour le moment",
        "Le service qui vérifie les comptes ne répond pas. Vos photos sont en sécurité.",
    ),
    stopped: words(
        "L’envoi s’est interrompu",
        "Plus aucune donnée n’est arrivée. Réessayez, si possible avec une meilleure connexion.",
    ),
    not_understood: words("Cette demande n’a pas été comprise", "Revenez en arrière et réessayez."),
    tries_again: "Cette page réessaie toute seule.",
    try_now: "Réessayer maintenant",
    number: "Si vous demandez de l’aide, donnez ce numéro :",
};
