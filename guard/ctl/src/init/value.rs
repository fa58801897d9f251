//! The values of a home, each checked on its own: a text enters, the text to write leaves, or what is wanted instead.

/// The names that end in it belong to nobody (RFC 2606): the example uses them.
const EXAMPLE: &str = "example.com";
const TEAM_SUFFIX: &str = ".cloudflareaccess.com";
/// The SHA-256 tag of an Access application, in hexadecimal digits.
const AUD_LENGTH: usize = 64;

/// No answer is longer, in bytes. A terminal cuts a line after 4095 (termios(3)): what is cut must not pass for the whole.
const MAX_ANSWER: usize = 1024;
/// No part of a path is longer, in bytes (`NAME_MAX`).
const MAX_NAME: usize = 255;
/// A host name and a label of it, in bytes (RFC 1035, 2.3.4).
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// A check of one value.
pub(crate) type Checked<T = String> = Result<T, String>;

/// An answer that is no longer than any that is right.
pub(crate) fn short(text: &str) -> Checked<&str> {
    if text.len() > MAX_ANSWER {
        return Err(format!("found {} bytes, wanted {MAX_ANSWER} at most", text.len()));
    }
    Ok(text)
}

/// A yes or a no; nothing is a no.
pub(crate) fn yes_or_no(text: &str) -> Checked<bool> {
    match short(text)?.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "" | "n" | "no" => Ok(false),
        _ => Err(format!("found {text:?}, wanted y or n")),
    }
}

/// An absolute path of a directory, without a slash at its end.
fn directory(text: &str) -> Checked {
    let path = if text.len() > 1 { text.trim_end_matches('/') } else { text };
    if !path.starts_with('/') {
        return Err(format!("found {path:?}, wanted an absolute path"));
    }
    let is_bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains("__") || part.len() > MAX_NAME;
    // What is no UTF-8 comes as replacement characters, which no path has on purpose.
    if path.split('/').skip(1).any(is_bad) || path.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
        return Err(format!(
            "found {path:?}, wanted a path without empty parts, \"..\", \"__\", control characters and names of more than {MAX_NAME} bytes"
        ));
    }
    Ok(path.to_owned())
}

/// The directory of the photos: below a mount point, so that it exists on the NAS only.
pub(crate) fn photos(text: &str) -> Checked {
    let path = directory(text)?;
    if path.matches('/').count() < 2 {
        return Err(format!(
            "{path} is at the top of the node's disk, wanted a directory below the mount point, such as {path}/immich: it exists on the NAS only"
        ));
    }
    Ok(path)
}

/// The directory of the database: apart from the photos.
pub(crate) fn database(text: &str, photos: &str) -> Checked {
    let path = directory(text)?;
    let is_below = |path: &str, other: &str| path == other || path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    if is_below(&path, photos) || is_below(photos, &path) {
        return Err(format!(
            "{path} and the photos ({photos}) share a directory, wanted one on the node's own disk: the database needs a local disk"
        ));
    }
    Ok(path)
}

/// A node of the cluster, by its label `kubernetes.io/hostname`.
pub(crate) fn node(text: &str, nodes: &[String]) -> Checked {
    if nodes.iter().any(|node| node == text) {
        return Ok(text.to_owned());
    }
    Err(format!("found {text:?}, wanted a node of the cluster: {}", nodes.join(", ")))
}

/// A time zone by its name in the tz database.
pub(crate) fn time_zone(text: &str) -> Checked {
    let is_character = |c: char| c.is_ascii_alphanumeric() || "_+-/".contains(c);
    let has_form = text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.ends_with('/') && text.chars().all(is_character);
    let zones = std::path::Path::new("/usr/share/zoneinfo");
    if has_form && (!zones.is_dir() || zones.join(text).is_file()) {
        return Ok(text.to_owned());
    }
    Err(format!("found {text:?}, wanted a time zone, such as Europe/Berlin (timedatectl list-timezones prints them)"))
}

/// The URL of a Git repository for Flux, or `None` for `none`. `git@host:path` becomes the URL that Flux takes.
pub(crate) fn repository(text: &str) -> Checked<Option<String>> {
    let wanted = || format!("found {}, wanted https://HOST/PATH, ssh://git@HOST/PATH, or none", without_password(text));
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let url = match text.split_once("://") {
        None => {
            let (host, path) = text.split_once(':').filter(|(host, _)| host.contains('@')).ok_or_else(wanted)?;
            format!("ssh://{host}/{}", path.trim_start_matches('/'))
        }
        Some(_) => text.to_owned(),
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(wanted)?;
    let (authority, path) = rest.split_once('/').ok_or_else(wanted)?;
    let has_form = !path.is_empty() && !url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let is_allowed = match scheme {
        // A token in a URL would be in a file, and in an object that many may read.
        "https" | "http" => user.is_none(),
        "ssh" => user.is_some_and(|user| !user.contains(':')),
        _ => false,
    };
    let host = authority.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    if !has_form || !is_allowed || host.is_empty() {
        return Err(wanted());
    }
    if is_example(host) {
        return Err(format!("found {url}, which is the example's, wanted the URL of your fork, or none"));
    }
    Ok(Some(url))
}

/// A text for an error, without what stands before an `@`.
fn without_password(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("\"…@{rest}\""),
        None => format!("{text:?}"),
    }
}

/// The public host name, or `None` for `none`.
pub(crate) fn host(text: &str) -> Checked<Option<String>> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if text.len() > MAX_HOST
        || !text.contains('.')
        || !text.split('.').all(is_label)
        || text.parse::<std::net::Ipv4Addr>().is_ok()
    {
        return Err(format!("found {text:?}, wanted a host name only, such as photos.your-domain.org, or none"));
    }
    let name = text.to_ascii_lowercase();
    if is_example(&name) {
        return Err(format!("found {name}, which is the example's, wanted your own host name, or none"));
    }
    Ok(Some(name))
}

fn is_example(name: &str) -> bool {
    name == EXAMPLE || name.strip_suffix(EXAMPLE).is_some_and(|rest| rest.ends_with('.'))
}

/// The name of a team at Cloudflare Access, from the name, the host name or the URL.
pub(crate) fn team(text: &str) -> Checked {
    let lower = text.to_ascii_lowercase();
    let name = lower.trim_start_matches("https://").trim_end_matches('/').trim_end_matches(TEAM_SUFFIX);
    let is_name = !name.is_empty()
        && name.len() <= MAX_LABEL
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if is_name { Ok(name.to_owned()) } else { Err(format!("found {text:?}, wanted TEAM of TEAM{TEAM_SUFFIX}")) }
}

/// The AUD tags of Access applications, comma-separated.
pub(crate) fn audience(text: &str) -> Checked {
    let tags: Vec<_> = text.split(',').map(|tag| tag.trim().to_ascii_lowercase()).collect();
    let is_tag = |tag: &String| tag.len() == AUD_LENGTH && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if tags.iter().all(is_tag) {
        return Ok(tags.join(","));
    }
    Err(format!(
        "found {} characters, wanted an AUD tag: {AUD_LENGTH} hexadecimal digits (Access controls > Applications > yours > Overview)",
        text.len()
    ))
}

/// The id that `guard nas init` prints.
pub(crate) fn nas_id(text: &str) -> Checked {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let groups: Vec<_> = text.split('-').collect();
    let has_form = groups.iter().map(|group| group.len()).eq(GROUPS)
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !has_form || text == super::files::EXAMPLE_ID {
        return Err(format!("found {text:?}, wanted the id that `guard nas init` printed"));
    }
    Ok(text.to_ascii_lowercase())
}

/// A pattern for what is mounted, for `GUARD_NAS_SOURCE`.
pub(crate) fn nas_source(text: &str) -> Checked {
    if !text.is_empty() && text != "*" && !text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Ok(text.to_owned());
    }
    Err(format!("found {text:?}, wanted the source of the mount, such as nas.lan:/photos* (findmnt prints it)"))
}

/// The URL of Immich in the LAN.
pub(crate) fn lan_url(text: &str) -> Checked {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c == '/' || c == '@') => {
            Ok(text.to_owned())
        }
        _ => Err(format!("found {text:?}, wanted http://HOST:PORT without a path")),
    }
}

/// A list of addresses or client ids, comma-separated in the Secret.
pub(crate) fn list(items: &[String]) -> Checked {
    let is_item = |item: &String| !item.is_empty() && !item.contains(|c: char| c == ',' || c.is_whitespace());
    if items.iter().all(is_item) {
        return Ok(items.join(","));
    }
    Err("found an item that is empty or has a comma or white space, wanted one address or client id an item".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_absolute_and_below_a_mount_point() {
        assert_eq!(photos("/mnt/nas/immich/").unwrap(), "/mnt/nas/immich");
        assert_eq!(photos("/mnt/my photos/a: b").unwrap(), "/mnt/my photos/a: b");
        for text in
            ["", "mnt/nas", "/", "/mnt", "/mnt/../etc/x", "/mnt//x", "/__NAS_LIBRARY_PATH__/x", "/mnt/x\n/y", "/mnt/\u{fffd}"]
        {
            assert!(photos(text).unwrap_err().contains("wanted"), "{text}");
        }
        let longest = format!("/mnt/{}", "a".repeat(255));
        assert!(photos(&longest).is_ok() && photos(&format!("{longest}a")).is_err());
    }

    #[test]
    fn a_line_that_a_terminal_has_cut_is_no_answer() {
        let cut = "a".repeat(4095);
        assert!(short(&cut).is_err() && yes_or_no(&cut).is_err());
        assert_eq!(short("/mnt/nas").unwrap(), "/mnt/nas");
    }

    #[test]
    fn what_is_neither_yes_nor_no_is_asked_again() {
        assert!([" ", "maybe", "yn", "0"].iter().all(|text| yes_or_no(text).unwrap_err().contains("wanted y or n")));
        assert!(["y", "Y", "YES"].iter().all(|text| yes_or_no(text).unwrap()));
        assert!(["", "n", "No"].iter().all(|text| !yes_or_no(text).unwrap()));
    }

    #[test]
    fn the_database_and_the_photos_share_no_directory() {
        assert_eq!(database("/srv/immich/postgres", "/mnt/nas/immich").unwrap(), "/srv/immich/postgres");
        assert!(database("/mnt/nas/immich-db", "/mnt/nas/immich").is_ok(), "a name that only begins alike");
        for text in ["/mnt/nas/immich", "/mnt/nas/immich/db", "/mnt/nas", "srv"] {
            assert!(database(text, "/mnt/nas/immich").is_err(), "{text}");
        }
    }

    #[test]
    fn a_repository_is_a_url_without_a_password() {
        let url = |text: &str| repository(text).unwrap();
        assert_eq!(url("none"), None);
        assert_eq!(url("https://git.example.org/family/photos").as_deref(), Some("https://git.example.org/family/photos"));
        assert_eq!(url("git@git.example.org:family/photos.git").as_deref(), Some("ssh://git@git.example.org/family/photos.git"));
        for text in [
            "",
            "photos",
            "https://git.example.org",
            "https://you:pa55@git.example.org/family/photos",
            "ftp://git.example.org/x",
            "https://git.example.com/family/photos",
            "ssh://git.example.org/x",
            "https://git.example.org/a b",
        ] {
            let error = repository(text).unwrap_err();
            assert!(error.contains("wanted") && !error.contains("pa55"), "{text}: {error}");
        }
    }

    #[test]
    fn a_host_is_a_name_of_ones_own() {
        assert_eq!(host("Photos.Family.Test").unwrap().as_deref(), Some("photos.family.test"));
        assert_eq!(host("none").unwrap(), None);
        for text in
            ["", "photos", "https://photos.family.test", "photos.example.com", "photos.family.test/x", "192.0.2.1", "a..b"]
        {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_team_is_read_from_its_name_its_host_and_its_url() {
        for text in ["family", "Family.cloudflareaccess.com", "https://family.cloudflareaccess.com/"] {
            assert_eq!(team(text).unwrap(), "family");
        }
        for text in ["", "a b", "family.example.org", "-x", &"a".repeat(64)] {
            assert!(team(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_audience_is_64_hexadecimal_digits() {
        let tag = "4714C1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
        assert_eq!(audience(&format!("{tag}, {tag}")).unwrap().len(), 129);
        for text in ["", "family", &tag[1..], &format!("{tag},")] {
            assert!(audience(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_id_of_the_example_is_no_id() {
        assert!(nas_id("3a55ae57-1cab-4631-8cb4-44d1159e8f48").is_ok());
        for text in ["", "3a55ae57", "00000000-0000-4000-8000-000000000000", "3a55ae57-1cab-4631-8cb4-44d1159e8f4g"] {
            assert!(nas_id(text).is_err(), "{text}");
        }
    }
}
