//! What a person sees: pages made here, which need no script, and the way between them. What is decided is decided by the
//! issuer; a handler asks, and shows.

mod account;
mod account_view;
mod agent;
mod assets;
mod authorize;
pub(crate) mod brand;
mod consent;
mod continuation;
mod device;
pub(crate) mod locale;
mod logout;
mod password;
mod respond;
mod select_account;
mod sign_in;
mod sign_up;
pub(crate) mod texts;
pub(crate) mod view;
mod visit;

use poem::endpoint::make;
use poem::{Endpoint, Request, Response, Route};

use crate::api::ApiState;
use visit::Visit;

/// Every page, below the path of the issuer.
pub(crate) fn routes(state: &ApiState, route: Route) -> Route {
    let page = |handler| page(state.clone(), handler);
    route
        .at("/authorize", page(|visit| Box::pin(authorize::handle(visit))))
        .at("/sign-in", page(|visit| Box::pin(sign_in::handle(visit))))
        .at(
            "/select-account",
            page(|visit| Box::pin(select_account::handle(visit))),
        )
        .at("/consent", page(|visit| Box::pin(consent::handle(visit))))
        .at("/device", page(|visit| Box::pin(device::enter(visit))))
        .at("/device/confirm", page(|visit| Box::pin(device::confirm(visit))))
        .at("/device/done", page(|visit| Box::pin(device::done(visit))))
        .at("/sign-up", page(|visit| Box::pin(sign_up::handle(visit))))
        .at("/account", page(|visit| Box::pin(account::show(visit))))
        .at(
            "/account/session",
            page(|visit| Box::pin(account::end_session(visit))),
        )
        .at("/account/app", page(|visit| Box::pin(account::end_app(visit))))
        .at(
            "/account/consent",
            page(|visit| Box::pin(account::withdraw(visit))),
        )
        .at(
            "/account/sign-out",
            page(|visit| Box::pin(account::sign_out(visit))),
        )
        .at(
            "/account/password",
            page(|visit| Box::pin(password::handle(visit))),
        )
        .at("/logout", page(|visit| Box::pin(logout::ask(visit))))
        .at("/sign-out", page(|visit| Box::pin(logout::decide(visit))))
        .at("/signed-out", page(|visit| Box::pin(logout::signed_out(visit))))
        .at("/assets/*path", poem::get(assets::endpoint()))
}

type Handler = fn(Visit) -> std::pin::Pin<Box<dyn Future<Output = Response> + Send>>;

/// An endpoint that knows who visits before it begins.
fn page(state: ApiState, handler: Handler) -> impl Endpoint<Output = Response> {
    make(move |request: Request| {
        let state = state.clone();
        async move {
            match Visit::begin(state, request).await {
                Ok(visit) => handler(visit).await,
                Err(response) => *response,
            }
        }
    })
}
