//! What each endpoint answers, in the words of the real ones.

use std::sync::atomic::Ordering;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::tokens::Wish;
use super::{ACCOUNT, PROVIDER, Seen, Shared, lock};
use crate::issuer::unix_now;
use guard::idtoken::source::CLOUD_PLATFORM;
use guard::idtoken::source::federation::{ACCESS_TOKEN, TOKEN_EXCHANGE};
use guard::idtoken::source::key_file::JWT_BEARER;
use http_body_util::Full;

pub(super) const CLIENT_SECRET: &str = "d-FL95Q19q7MQmFpd7hHD0Ty";
pub(super) const REFRESH_TOKEN: &str = "1//03demo-refresh-token";
/// The metadata server keeps a token until so many seconds before its end.
const KEPT_UNTIL_SECONDS: u64 = 300;

/// Good, and which count goes up; or not, and why.
type Outcome = Result<(Full<Bytes>, fn(&mut Seen)), (StatusCode, Value)>;

impl Shared {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // The sender lives as long as this value.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let body = read(body).await;
        let is_identity = parts.uri.path().ends_with("/identity");
        let outcome = if self.down.load(Ordering::SeqCst) {
            Err(google_error(StatusCode::SERVICE_UNAVAILABLE, "The service is currently unavailable."))
        } else {
            match (&parts.method, parts.uri.path()) {
                (&Method::GET, "/computeMetadata/v1/instance/service-accounts/default/identity") => {
                    self.metadata(&parts.headers, &form(&query))
                }
                // What Google's own client asks for first.
                (&Method::GET, "/computeMetadata/v1/instance/service-accounts/default/") => {
                    good(json_text(&json!({"aliases": ["default"], "email": ACCOUNT, "scopes": [CLOUD_PLATFORM]})), |_| {})
                }
                (&Method::GET, "/" | "/computeMetadata/v1/instance") => good(Full::from("computeMetadata/\n"), |_| {}),
                (&Method::GET, "/oauth2/v3/certs") => good(json_text(&json!({"keys": [self.authority.jwk()]})), |_| {}),
                (&Method::POST, "/token") => self.token(&form(&body)),
                (&Method::POST, "/v1/token") => self.exchange(&form(&body)),
                (&Method::POST, path) => self.generate(path, &parts.headers, &body),
                _ => Err(google_error(StatusCode::NOT_FOUND, "Not Found")),
            }
        };
        self.seen.send_modify(|seen| match &outcome {
            Ok((_, count)) => count(seen),
            Err(_) => seen.refused += 1,
        });
        let (status, text) = match outcome {
            Ok((text, _)) => (StatusCode::OK, text),
            Err((status, error)) => (status, json_text(&error)),
        };
        let mut response = Response::new(text);
        *response.status_mut() = status;
        // The metadata server's token is bare text, and its clients look at that.
        let kind = if is_identity { "application/text" } else { "application/json" };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        // By this, clients know a metadata server.
        response.headers_mut().insert("metadata-flavor", HeaderValue::from_static("Google"));
        response
    }

    fn metadata(&self, headers: &HeaderMap, query: &[(String, String)]) -> Outcome {
        if headers.get("metadata-flavor").is_none_or(|flavor| flavor != "Google") {
            return Err((StatusCode::FORBIDDEN, json!("Missing Metadata-Flavor:Google header.")));
        }
        let (audience, format) = (field(query, "audience"), field(query, "format"));
        if audience.is_empty() || format != "full" {
            return Err((StatusCode::BAD_REQUEST, json!("audience, and format=full for the e-mail")));
        }
        let mut kept = lock(&self.kept);
        let (token, expires) = kept.entry(audience.to_owned()).or_insert_with(|| self.id_token(audience));
        if *expires < unix_now() + KEPT_UNTIL_SECONDS {
            (*token, *expires) = self.id_token(audience);
        }
        good(Full::from(token.clone()), |seen| seen.metadata += 1)
    }

    fn token(&self, form: &[(String, String)]) -> Outcome {
        let invalid = |why: &str| Err((StatusCode::BAD_REQUEST, json!({"error": "invalid_grant", "error_description": why})));
        match field(form, "grant_type") {
            JWT_BEARER => match self.read_assertion(field(form, "assertion")) {
                Ok(Wish::IdToken(audience)) => {
                    good(json_text(&json!({"id_token": self.id_token(&audience).0})), |seen| seen.assertions += 1)
                }
                Ok(Wish::AccessToken) => good(self.access(), |seen| seen.access += 1),
                Err(why) => invalid(why),
            },
            "refresh_token" if field(form, "refresh_token") == REFRESH_TOKEN && field(form, "client_secret") == CLIENT_SECRET => {
                good(self.access(), |seen| seen.access += 1)
            }
            "refresh_token" => invalid("Bad Request"),
            _ => Err((StatusCode::BAD_REQUEST, json!({"error": "unsupported_grant_type"}))),
        }
    }

    fn exchange(&self, form: &[(String, String)]) -> Outcome {
        let wanted = [
            ("grant_type", TOKEN_EXCHANGE),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("audience", PROVIDER),
            ("scope", CLOUD_PLATFORM),
        ];
        if let Some((name, _)) = wanted.iter().find(|(name, value)| field(form, name) != *value) {
            let why = format!("Invalid value for \"{name}\".");
            return Err((StatusCode::BAD_REQUEST, json!({"error": "invalid_request", "error_description": why})));
        }
        let subject = field(form, "subject_token");
        if !self.knows_subject(subject) {
            // The real one quotes what it was shown, too.
            let why = format!("The given credential is rejected: {subject}");
            return Err((StatusCode::BAD_REQUEST, json!({"error": "invalid_grant", "error_description": why})));
        }
        good(self.access(), |seen| seen.exchanges += 1)
    }

    fn generate(&self, path: &str, headers: &HeaderMap, body: &str) -> Outcome {
        if path != format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken") {
            return Err(google_error(StatusCode::NOT_FOUND, "Not Found"));
        }
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if !bearer.is_some_and(|bearer| self.knows_access(bearer)) {
            return Err(google_error(StatusCode::UNAUTHORIZED, "Request had invalid authentication credentials."));
        }
        if !self.bound.load(Ordering::SeqCst) {
            let why = "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).";
            return Err(google_error(StatusCode::FORBIDDEN, why));
        }
        let wish: Value = serde_json::from_str(body).unwrap_or_default();
        match wish["audience"].as_str() {
            Some(audience) if !audience.is_empty() && wish["includeEmail"] == true => {
                good(json_text(&json!({"token": self.id_token(audience).0})), |seen| seen.generated += 1)
            }
            _ => Err(google_error(StatusCode::BAD_REQUEST, "audience and includeEmail are wanted")),
        }
    }

    fn access(&self) -> Full<Bytes> {
        json_text(&json!({
            "access_token": self.access_token(), "expires_in": 3599, "token_type": "Bearer", "issued_token_type": ACCESS_TOKEN,
        }))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is one arm of many that end with an outcome")]
fn good(text: Full<Bytes>, count: fn(&mut Seen)) -> Outcome {
    Ok((text, count))
}

fn google_error(status: StatusCode, message: &str) -> (StatusCode, Value) {
    (status, json!({"error": {"code": status.as_u16(), "message": message, "status": "REFUSED"}}))
}

fn json_text(value: &Value) -> Full<Bytes> {
    Full::from(value.to_string())
}

async fn read(body: Incoming) -> String {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        bytes.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The fields of a query or a form, unescaped.
fn form(text: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            let mut digit =
                || rest.next().and_then(|digit| char::from(digit).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => digit().unwrap_or(0) << 4 | digit().unwrap_or(0),
                other => other,
            });
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    text.split('&').filter_map(|field| field.split_once('=')).map(|(name, value)| (plain(name), plain(value))).collect()
}

fn field<'f>(form: &'f [(String, String)], name: &str) -> &'f str {
    form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}
