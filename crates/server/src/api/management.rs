//! The management listener: `/livez` says that the process runs, `/readyz` that it can do its work.

use http::StatusCode;
use poem::endpoint::{BoxEndpoint, make};
use poem::{EndpointExt as _, Response, Route};
use serde_json::json;

use super::state::ApiState;

/// The endpoints of the management listener.
pub(crate) fn endpoint(state: &ApiState) -> BoxEndpoint<'static> {
    let state = state.clone();
    let ready = make(move |_| {
        let state = state.clone();
        async move { readiness(&state).await }
    });
    let live = make(|_| async { answer(StatusCode::OK, &json!({"status": "live"})) });
    Route::new()
        .at("/livez", poem::get(live))
        .at("/readyz", poem::get(ready))
        .map_to_response()
        .boxed()
}

/// Ready: the database answers, the view of revocations is current, every algorithm has a key that signs, and the clocks
/// agree.
async fn readiness(state: &ApiState) -> Response {
    let issuer = &state.issuer;
    let store = issuer.store().ping().await.is_ok();
    let view = issuer.view_is_current();
    let keys = issuer.can_sign();
    let clock = issuer.clock_is_right();
    let writes = issuer.writes_are_current();
    let past = issuer.has_its_past();
    let ready = store && view && keys && clock && writes && past;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = if ready { "ready" } else { "not ready" };
    answer(
        status,
        &json!({"status": word, "checks": {"database": store, "revocations": view, "keys": keys, "clock": clock, "writes": writes, "past": past}}),
    )
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    Response::builder()
        .status(status)
        .content_type("application/json")
        .body(body.to_string())
}
