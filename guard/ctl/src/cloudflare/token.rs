//! The API token: read from a file, a variable or a prompt, never from an argument, and never printed.

use std::fmt;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// The variable that may hold the token; Cloudflare's own tools know it, too.
pub(crate) const VARIABLE: &str = "CLOUDFLARE_API_TOKEN";
/// No token is longer.
const MAX_BYTES: u64 = 4096;
/// A token has at least this many characters.
const MIN_LENGTH: usize = 40;
/// The prefixes of Cloudflare's secrets: tokens of users and accounts, the Global API Key, OAuth, and the secrets of service tokens.
const SECRET_PREFIXES: [&str; 6] = ["cfut_", "cfat_", "cfk_", "cfoat_", "cfast_", "eyJ"];

/// A token for Cloudflare's API. `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(not shown)")
    }
}

impl Token {
    /// From `file`, else from the variable, else by a prompt on the terminal.
    pub(crate) fn obtain(file: Option<&Path>) -> Result<Self> {
        match (file, std::env::var(VARIABLE)) {
            (Some(path), _) => Self::parse(&read(path)?).with_context(|| path.display().to_string()),
            (None, Ok(text)) if !text.trim().is_empty() => Self::parse(&text).context(VARIABLE),
            (None, _) if std::io::stdin().is_terminal() => Self::parse(&ask("Cloudflare API token (not shown): ")?),
            (None, _) => bail!(
                "no API token: wanted --token-file FILE or the variable {VARIABLE} (docs/cloudflare.md says how to make one)"
            ),
        }
    }

    /// Checks the form of a token.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let token = text.trim();
        ensure!(!token.is_empty(), "found nothing, wanted an API token");
        ensure!(
            !token.starts_with("cfk_"),
            "found the Global API Key, wanted an API token: the key may do everything, a token only what it needs"
        );
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ensure!(
            token.bytes().all(is_word),
            "found white space or other characters inside, wanted an API token: letters, digits, _ and -"
        );
        ensure!(token.len() >= MIN_LENGTH, "found {} characters, wanted an API token: {MIN_LENGTH} or more", token.len());
        Ok(Self(token.to_owned()))
    }

    /// The value of the header `Authorization`.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether it belongs to the account and not to a user: it is verified at another address.
    pub(crate) fn is_of_account(&self) -> bool {
        self.0.starts_with("cfat_")
    }

    /// Removes the token, and what looks like another secret of Cloudflare's, from a text.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text = text.replace(&self.0, "(token)");
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '+' || c == '/' || c == '.';
        let mut clean = String::with_capacity(text.len());
        for piece in text.split_inclusive(|c: char| !is_word(c)) {
            let word = piece.trim_end_matches(|c: char| !is_word(c));
            if word.len() >= 20 && SECRET_PREFIXES.iter().any(|prefix| word.starts_with(prefix)) {
                clean.push_str("(secret)");
                clean.push_str(&piece[word.len()..]);
            } else {
                clean.push_str(piece);
            }
        }
        clean
    }
}

/// Reads a file that only its owner can read.
fn read(path: &Path) -> Result<String> {
    let place = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("{place}: cannot be read"))?;
    let metadata = file.metadata()?;
    // A pipe has no mode that protects it: `--token-file <(pass show cloudflare)`.
    if metadata.is_file() {
        let mode = metadata.mode() & 0o777;
        let others = mode & 0o077;
        ensure!(others == 0, "{place}: found mode {mode:04o}, wanted a file that only you can read: chmod 600 {place}");
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).with_context(|| format!("{place}: cannot be read"))?;
    Ok(text)
}

/// Asks on the terminal, without an echo. Control-C ends the process, with the echo back on.
fn ask(prompt: &str) -> Result<String> {
    let mut terminal = std::fs::File::options().read(true).write(true).open("/dev/tty").context("no terminal to ask on")?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    terminal.write_all(prompt.as_bytes())?;
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let typed = line(&mut terminal);
    tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    terminal.write_all(b"\n")?;
    match typed? {
        Some(text) => Ok(text),
        None => bail!("nothing was done: the question was left"),
    }
}

/// One line, key by key; `None` after Control-C or Control-D.
fn line(terminal: &mut std::fs::File) -> Result<Option<String>> {
    const CONTROL_C: u8 = 3;
    const CONTROL_D: u8 = 4;
    const BACKSPACE: [u8; 2] = [8, 127];
    let mut typed = Vec::new();
    loop {
        let mut byte = [0];
        if terminal.read(&mut byte)? == 0 {
            return Ok(None);
        }
        match byte[0] {
            b'\r' | b'\n' => return Ok(Some(String::from_utf8_lossy(&typed).into_owned())),
            CONTROL_C | CONTROL_D => return Ok(None),
            byte if BACKSPACE.contains(&byte) => drop(typed.pop()),
            byte => typed.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_global_key_a_short_text_and_white_space_are_refused() {
        for text in [
            "",
            " \n",
            "cfk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "short",
            &format!("{} {}", "a".repeat(30), "b".repeat(30)),
        ] {
            let error = Token::parse(text).unwrap_err().to_string();
            assert!(error.contains("wanted"), "{text:?}: {error}");
        }
        assert!(
            Token::parse(&format!("{}\n", "a".repeat(40))).is_ok(),
            "a line break at the end of a file is no part of the token"
        );
    }

    #[test]
    fn no_secret_is_left_in_a_text() {
        let token = Token::parse(&"t0ken".repeat(8)).unwrap();
        let other = format!("cfast_{}", "a1".repeat(24));
        let text = token.redact(&format!("invalid: {} and \"{other}\".", "t0ken".repeat(8)));
        assert_eq!(text, "invalid: (token) and \"(secret)\".");
        assert_eq!(format!("{token:?}"), "Token(not shown)");
    }
}
