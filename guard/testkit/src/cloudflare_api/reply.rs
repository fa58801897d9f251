//! Answers in Cloudflare's envelope: `success`, `errors`, `messages`, `result`, and `result_info` of lists with pages.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::Asked;

/// The objects on a page where nothing is asked for.
const PER_PAGE: usize = 20;
const MAX_PER_PAGE: usize = 1000;

/// An answer.
pub(super) struct Reply {
    status: u16,
    kind: &'static str,
    body: String,
    retry_after: Option<u64>,
}

impl Reply {
    pub(super) fn ok(result: &Value) -> Self {
        Self::json(200, &json!({"success": true, "errors": [], "messages": [], "result": result}))
    }

    /// A page of a list, as `page` and `per_page` ask.
    pub(super) fn page(asked: &Asked, items: &[Value]) -> Self {
        let number =
            |name: &str, default: usize| asked.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(default).max(1);
        let (page, per_page) = (number("page", 1), number("per_page", PER_PAGE).min(MAX_PER_PAGE));
        let shown: Vec<_> = items.iter().skip((page - 1) * per_page).take(per_page).collect();
        let info = json!({
            "page": page, "per_page": per_page, "count": shown.len(), "total_count": items.len(),
            "total_pages": items.len().div_ceil(per_page),
        });
        Self::json(200, &json!({"success": true, "errors": [], "messages": [], "result": shown, "result_info": info}))
    }

    pub(super) fn error(status: u16, code: i64, message: &str) -> Self {
        let errors = json!([{"code": code, "message": message}]);
        Self::json(status, &json!({"success": false, "errors": errors, "messages": [], "result": null}))
    }

    pub(super) fn html(status: u16, body: &str) -> Self {
        Self { status, kind: "text/html", body: body.to_owned(), retry_after: None }
    }

    fn json(status: u16, body: &Value) -> Self {
        Self { status, kind: "application/json", body: body.to_string(), retry_after: None }
    }

    pub(super) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after = seconds;
        self
    }

    /// The first half.
    pub(super) fn truncated(mut self) -> Self {
        let half = self.body.len() / 2;
        self.body.truncate(half);
        self
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::builder()
            .status(self.status)
            .header("content-type", self.kind)
            .header("cf-ray", "9a0000000000abcd-FRA")
            .header("ratelimit", "\"default\";r=1199;t=300")
            .header("ratelimit-policy", "\"default\";q=1200;w=300");
        if let Some(seconds) = self.retry_after {
            response = response.header("retry-after", seconds);
        }
        response.body(Full::new(Bytes::from(self.body))).expect("these headers are well formed")
    }
}
