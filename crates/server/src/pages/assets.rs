//! What pages load: one style sheet under a name that changes with it, one script for one page, a mark, and the colours of
//! clients.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use poem::endpoint::make;
use poem::{Endpoint, IntoResponse as _, Request, Response};

use super::brand::Color;

const CSS: &str = include_str!("../../assets/vouchsafe.css");
const FORM_POST: &str = include_str!("../../assets/form-post.js");
const MARK: &str = include_str!("../../assets/mark.svg");

/// The address of the style sheet below the path of the issuer.
pub(super) fn style_sheet() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let digest = ring::digest::digest(&ring::digest::SHA256, CSS.as_bytes());
        let short = digest.as_ref().get(..9).unwrap_or_default();
        format!("/assets/vouchsafe-{}.css", URL_SAFE_NO_PAD.encode(short))
    })
}

/// `GET /assets/..`.
pub(super) fn endpoint() -> impl Endpoint<Output = Response> {
    make(|request: Request| async move {
        let path = request.uri().path();
        let name = path.split_once("/assets/").map_or("", |(_, name)| name);
        answer(name)
    })
}

fn answer(name: &str) -> Response {
    if style_sheet().strip_prefix("/assets/") == Some(name) {
        return asset(
            "text/css; charset=utf-8",
            CSS.to_owned(),
            "public, max-age=31536000, immutable",
        );
    }
    let for_a_day = "public, max-age=86400";
    match name {
        "form-post.js" => asset("text/javascript; charset=utf-8", FORM_POST.to_owned(), for_a_day),
        "mark.svg" => asset("image/svg+xml", MARK.to_owned(), for_a_day),
        _ => match color_of(name) {
            Some(color) => asset("text/css; charset=utf-8", color.css(), for_a_day),
            None => StatusCode::NOT_FOUND.into_response(),
        },
    }
}

fn color_of(name: &str) -> Option<Color> {
    let hex = name.strip_prefix("brand/")?.strip_suffix(".css")?;
    Color::parse(&format!("#{hex}"))
}

fn asset(content_type: &'static str, body: String, cache: &'static str) -> Response {
    Response::builder()
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, cache)
        .body(body)
}
