//! Spanish.

use super::{Texts, words};

pub(super) const TEXTS: Texts = Texts {
    unauthorized: words("Inicia sesión, por favor", "No has iniciado sesión aquí, o tu sesión ha caducado."),
    sign_in: "Iniciar sesión",
    forbidden: words("Esta cuenta aún no tiene acceso", "Has iniciado sesión con una cuenta que no tiene acceso."),
    forbidden_as: "Has iniciado sesión como {address}.",
    ask: "Pide a la persona que se ocupa de estas fotos que añada tu cuenta.",
    other_account: "Usar otra cuenta",
    too_large: words("Este archivo es demasiado grande", "Por internet, cada subida puede ocupar {limit} como máximo."),
    upload_in_parts: "Subirlo por partes",
    at_home: "En casa no existe este límite:",
    upload_at_home: "Súbelo desde casa, por favor.",
    misdirected: words(
        "En esta dirección no hay fotos",
        "Comprueba la dirección en el navegador, o pregunta a la persona que te envió el enlace.",
    ),
    unreachable: words("Tus fotos están a salvo", "El servidor de fotos no responde en este momento. No tienes que hacer nada."),
    busy: words("Un momento, por favor", "El servidor está arrancando o tiene mucho trabajo. Tus fotos están a salvo."),
    sign_in_unreachable: words(
        "Ahora mismo no se puede iniciar sesión",
        "El servicio que comprueba las cuentas no responde. Tus fotos están a salvo.",
    ),
    stopped: words(
        "La subida se ha interrumpido",
        "Han dejado de llegar datos. Inténtalo de nuevo, si puedes con una conexión mejor.",
    ),
    not_understood: words("No se ha entendido esta petición", "Vuelve atrás e inténtalo de nuevo."),
    tries_again: "Esta página lo vuelve a intentar sola.",
    try_now: "Volver a intentarlo ahora",
    number: "Si pides ayuda, indica este número:",
};
