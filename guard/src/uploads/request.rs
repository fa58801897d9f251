//! The headers of a large upload: who may begin and see it, which pages may, and what of them goes to Immich.

use aws_lc_rs::digest::{Context, SHA256};
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use hyper::{Method, Request, Uri};

use super::form::Form;
use super::metadata::Metadata;
use super::tus::{METHOD_OVERRIDE, OwnRequest};
use super::upload::Owner;
use crate::cookies;
use crate::identity::Identity;
use crate::refusal::{Reason, Refusal};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The cookies by which Immich knows a person or a shared link.
const CREDENTIAL_COOKIES: [&[u8]; 2] = [b"immich_access_token", b"immich_shared_link_token"];

/// Refuses a request that another site's page makes. The browser says which page it is (Fetch Metadata, and `Origin`, RFC 6454); no form can set
/// `Tus-Resumable`, and guard answers no preflight with a permission.
pub(super) fn check_site(request: &OwnRequest<'_>) -> Result<(), Refusal> {
    let headers = &request.parts.headers;
    let is_cross_site = headers.get(SEC_FETCH_SITE).is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    let own =
        request.external.map_or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()), |external| Some(&*external.host));
    let is_foreign = headers.get_all(ORIGIN).iter().any(|origin| {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        host.is_none() || !host.zip(own).is_some_and(|(host, own)| host.eq_ignore_ascii_case(own))
    });
    if is_cross_site || is_foreign {
        return Err(Refusal::new(Reason::Forbidden, "a page of another site may not upload"));
    }
    Ok(())
}

/// The owner of what this request begins or asks for.
pub(super) fn owner(request: &OwnRequest<'_>) -> Owner {
    let mut digest = Context::new(&SHA256);
    let mut add = |name: &[u8], value: &[u8]| {
        digest.update(name);
        digest.update(&(value.len() as u64).to_be_bytes());
        digest.update(value);
    };
    let headers = &request.parts.headers;
    for name in [AUTHORIZATION, HeaderName::from_static("x-api-key")] {
        headers.get_all(&name).iter().for_each(|value| add(name.as_str().as_bytes(), value.as_bytes()));
    }
    for cookie in cookies::all(headers).map(<[u8]>::trim_ascii) {
        if CREDENTIAL_COOKIES.contains(&cookies::name_of(cookie)) {
            add(b"cookie", cookie);
        }
    }
    let identity = match &*request.identity {
        Identity::Person { sub, email, .. } => format!("person {sub} {email}"),
        Identity::Service { common_name } => format!("service {common_name}"),
        Identity::Account { name } => format!("account {name}"),
    };
    let mut credential = [0; 32];
    credential.copy_from_slice(digest.finish().as_ref());
    Owner { identity, credential }
}

/// The headers of a request to Immich beside those of its body: none of tus, and none about the part that brought them.
pub(super) fn for_immich(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let text = name.as_str();
        let is_tus = text.starts_with("upload-") || text.starts_with("tus-") || *name == METHOD_OVERRIDE;
        // Immich would compare it with its own address.
        let is_of_the_page =
            *name == ORIGIN || text.starts_with("sec-fetch-") || text.starts_with("content-") || *name == ACCEPT_ENCODING;
        if !is_tus && !is_of_the_page {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// The head of the request to Immich.
pub(super) fn head_for_immich(mut headers: HeaderMap, form: &Form, metadata: &Metadata, query: Option<&str>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    let path = shared_link(query).map_or_else(|| "/api/assets".to_owned(), |link| format!("/api/assets?{link}"));
    *head.uri_mut() = path.parse().unwrap_or_else(|_| Uri::from_static("/api/assets"));
    headers.remove(CONTENT_LENGTH);
    let content_type = format!("multipart/form-data; boundary={}", form.boundary);
    let checksum = metadata.checksum.as_ref().map(|checksum| ("x-immich-checksum", checksum.clone()));
    for (name, value) in checksum.into_iter().chain([(CONTENT_TYPE.as_str(), content_type)]) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
    headers.entry(HOST).or_insert(HeaderValue::from_static("immich"));
    *head.headers_mut() = headers;
    head
}

/// The part of a query that names a shared link (`key` or `slug`). Nothing else of it has a meaning for Immich's upload.
pub(super) fn shared_link(query: Option<&str>) -> Option<&str> {
    query?.split('&').find(|pair| pair.starts_with("key=") || pair.starts_with("slug="))
}
