//! The answers: what a file in TOML gives (docs/init.schema.json), and what a home needs in the end. No secret is among them, only the path of a file
//! with one.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// No token of a tunnel is longer, in bytes.
const MAX_TOKEN: u64 = 4096;

/// What a file of answers gives. What it leaves out is asked, or found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Given {
    /// The node, by its label `kubernetes.io/hostname`.
    pub node: Option<String>,
    /// The directory of the photos, as the node sees it.
    pub photos: Option<String>,
    /// The directory of the database, on the node's own disk.
    pub database: Option<String>,
    /// The time zone.
    pub time_zone: Option<String>,
    /// The id that `guard nas init` printed.
    pub nas_id: Option<String>,
    /// What must be mounted there, as a pattern: `nas.lan:/photos*`.
    pub nas_source: Option<String>,
    /// The repository that Flux fetches, or `none`.
    pub repository: Option<String>,
    /// For whom `--sops` encrypts, if there is no `.sops.yaml` yet.
    pub sops_recipients: Option<Vec<String>>,
    /// What the internet needs.
    pub internet: GivenInternet,
}

/// What a file of answers gives for the internet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GivenInternet {
    /// The public host name, or `none`.
    pub host: Option<String>,
    /// The team at Cloudflare Access.
    pub team: Option<String>,
    /// The AUD tag.
    pub aud: Option<String>,
    /// A file with the token of the tunnel, which only its owner can read.
    pub tunnel_token_file: Option<PathBuf>,
    /// The URL of Immich in the LAN.
    pub lan_url: Option<String>,
    /// Who may enter.
    pub allow_email: Option<Vec<String>>,
    /// Which service tokens may.
    pub allow_service: Option<Vec<String>>,
}

impl Given {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        toml::from_str(&text).map_err(|error| {
            // The error's own text shows the line, and somebody may have put a token into it.
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            anyhow::anyhow!("{}:{line}: {}; wanted answers as in docs/init.schema.json", path.display(), error.message())
        })
    }
}

/// What a home needs, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    /// The node.
    pub node: String,
    /// The directory of the photos.
    pub photos: String,
    /// The directory of the database.
    pub database: String,
    /// The time zone.
    pub time_zone: String,
    /// The id of the NAS, where it is known already.
    pub nas_id: Option<String>,
    /// What must be mounted at the photos when the id is asked for, as a pattern.
    pub nas_source: Option<String>,
    /// The repository that Flux fetches; without one, kubectl applies.
    pub repository: Option<String>,
    /// What the internet needs; without it, the home is for the LAN.
    pub internet: Option<Internet>,
}

/// The values of the Secret `immich-edge`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Internet {
    /// The public host name.
    pub host: String,
    /// The team at Cloudflare Access.
    pub team: String,
    /// The AUD tags, comma-separated.
    pub aud: String,
    /// The URL of Immich in the LAN.
    pub lan_url: Option<String>,
    /// Who may enter, comma-separated.
    pub allow_email: Option<String>,
    /// Which service tokens may, comma-separated.
    pub allow_service: Option<String>,
}

/// A token of a tunnel. It has no `Debug`, so that nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// Checks the form: base64 of JSON with the account, the secret and the tunnel.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let token = text.trim();
        let decoded: Option<Value> = STANDARD.decode(token).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if decoded.is_some_and(|it| ["a", "s", "t"].iter().all(|field| it[field].is_string())) {
            return Ok(Self(token.to_owned()));
        }
        Err(format!(
            "found {} characters that do not decode, wanted what `cloudflared tunnel token NAME` prints (base64 of JSON with a, s and t)",
            token.chars().count()
        ))
    }

    /// From a file that only its owner can read.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let place = path.display();
        let file = std::fs::File::open(path).with_context(|| format!("{place}: cannot be read"))?;
        let metadata = file.metadata()?;
        let mode = metadata.mode() & 0o777;
        let others = mode & 0o077;
        // A pipe has no mode that protects it: <(cloudflared tunnel token photos).
        ensure!(
            !metadata.is_file() || others == 0,
            "{place}: found mode {mode:04o}, wanted a file that only you can read: chmod 600 {place}"
        );
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_TOKEN), &mut text)
            .with_context(|| format!("{place}: cannot be read"))?;
        Self::parse(&text).map_err(|error| anyhow::anyhow!("{place}: {error}"))
    }

    /// The value for the Secret.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::*;

    const SCHEMA: &str = include_str!("../../../../docs/init.schema.json");

    #[test]
    fn the_schema_names_each_answer_and_no_other() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let sample = schema["examples"][0].clone();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let internet = &schema["properties"]["internet"];
        assert_eq!(names(&schema["properties"]), names(&sample), "the example has each property");
        assert_eq!(names(&internet["properties"]), names(&sample["internet"]));
        assert!(schema["additionalProperties"] == false && internet["additionalProperties"] == false);
        // The type takes each of them, and refuses what the schema does not know.
        let given: Given = serde_json::from_value(sample.clone()).unwrap();
        let debug = format!("{given:?}");
        assert!(!debug.contains("None"), "the example leaves nothing out: {debug}");
        let mut more = sample;
        more["tunnel_token"] = Value::String("x".to_owned());
        assert!(serde_json::from_value::<Given>(more).is_err());
    }

    #[test]
    fn an_unknown_answer_is_refused_with_its_name_and_without_its_value() {
        let path = std::env::temp_dir().join(format!("guardctl-answers-{}", std::process::id()));
        std::fs::write(&path, "node = \"home\"\n[internet]\ntunnel_token = \"planted\"\n").unwrap();
        let error = format!("{:#}", Given::read(&path).unwrap_err());
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains(":3: ") && error.contains("`tunnel_token`") && error.contains("init.schema.json"), "{error}");
        assert!(!error.contains("planted"), "{error}");
    }

    #[test]
    fn a_token_decodes_and_its_error_does_not_show_it() {
        let token = STANDARD.encode(r#"{"a":"1","s":"planted","t":"2"}"#);
        assert_eq!(Token::parse(&format!("{token}\n")).ok().unwrap().reveal(), token);
        for text in ["", "planted", &token[1..], &STANDARD.encode(r#"{"a":"1"}"#)] {
            let error = Token::parse(text).err().unwrap();
            assert!(!error.contains("planted") && error.contains("wanted"), "{error}");
        }
    }

    #[test]
    fn a_token_in_a_file_that_others_can_read_is_refused() {
        let path = std::env::temp_dir().join(format!("guardctl-token-{}", std::process::id()));
        for (mode, is_fine) in [(0o600, true), (0o640, false)] {
            let _ = std::fs::remove_file(&path);
            let file = std::fs::File::options().write(true).create_new(true).mode(mode).open(&path).unwrap();
            std::io::Write::write_all(&mut &file, STANDARD.encode(r#"{"a":"1","s":"2","t":"3"}"#).as_bytes()).unwrap();
            assert_eq!(Token::read(&path).is_ok(), is_fine, "{mode:o}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
