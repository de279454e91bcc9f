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
mod cookie;
mod device;
mod device_view;
pub(crate) mod locale;
mod logout;
mod password;
mod respond;
mod scopes;
mod select_account;
mod sign_in;
mod sign_up;
pub(crate) mod texts;
pub(crate) mod view;
mod visit;

use std::pin::Pin;

use http::Method;
use poem::endpoint::make;
use poem::{Endpoint, Request, Response, Route};

use crate::api::ApiState;
pub(crate) use respond::refusal;
use visit::{Handled, Posts, Visit};

/// Only shows something.
const SHOWN: &[Method] = &[Method::GET, Method::HEAD];
/// Shows a form, and takes it.
const FORM: &[Method] = &[Method::GET, Method::POST, Method::HEAD];
/// A step on the way of a request, which GET may take too.
const STEP: &[Method] = &[Method::GET, Method::POST];
/// Takes a form of another page.
const TAKEN: &[Method] = &[Method::POST];

/// One page.
pub(crate) struct Entry {
    /// Below the path of the issuer.
    pub(crate) path: &'static str,
    /// How it is asked for.
    pub(crate) methods: &'static [Method],
    posts: Posts,
    handler: Handler,
}

type Handler = fn(Visit) -> Pin<Box<dyn Future<Output = Handled> + Send>>;

const fn ours(path: &'static str, methods: &'static [Method], handler: Handler) -> Entry {
    Entry {
        path,
        methods,
        posts: Posts::Ours,
        handler,
    }
}

const fn of_clients(path: &'static str, methods: &'static [Method], handler: Handler) -> Entry {
    Entry {
        path,
        methods,
        posts: Posts::Clients,
        handler,
    }
}

/// Every page.
pub(crate) static PAGES: &[Entry] = &[
    of_clients("/authorize", STEP, |visit| Box::pin(authorize::handle(visit))),
    ours("/sign-in", FORM, |visit| Box::pin(sign_in::handle(visit))),
    ours("/select-account", STEP, |visit| {
        Box::pin(select_account::handle(visit))
    }),
    ours("/consent", STEP, |visit| Box::pin(consent::handle(visit))),
    ours("/device", FORM, |visit| Box::pin(device::enter(visit))),
    ours("/device/confirm", STEP, |visit| Box::pin(device::confirm(visit))),
    ours("/device/done", SHOWN, |visit| Box::pin(device::done(visit))),
    ours("/sign-up", FORM, |visit| Box::pin(sign_up::handle(visit))),
    ours("/account", SHOWN, |visit| Box::pin(account::show(visit))),
    ours("/account/session", TAKEN, |visit| {
        Box::pin(account::end_session(visit))
    }),
    ours("/account/app", TAKEN, |visit| Box::pin(account::end_app(visit))),
    ours("/account/consent", TAKEN, |visit| {
        Box::pin(account::withdraw(visit))
    }),
    ours("/account/sign-out", TAKEN, |visit| {
        Box::pin(account::sign_out(visit))
    }),
    ours("/account/password", FORM, |visit| {
        Box::pin(password::handle(visit))
    }),
    of_clients("/logout", STEP, |visit| Box::pin(logout::ask(visit))),
    ours("/sign-out", TAKEN, |visit| Box::pin(logout::decide(visit))),
    ours("/signed-out", SHOWN, |visit| Box::pin(logout::signed_out(visit))),
];

/// Every page and what they load, below the path of the issuer.
pub(crate) fn routes(state: &ApiState, route: Route) -> Route {
    let route = PAGES.iter().fold(route, |route, entry| {
        route.at(entry.path, page(state.clone(), entry))
    });
    route.at("/assets/*path", poem::get(assets::endpoint()))
}

/// An endpoint that knows who visits before it begins.
fn page(state: ApiState, entry: &'static Entry) -> impl Endpoint<Output = Response> {
    make(move |request: Request| {
        let state = state.clone();
        async move {
            let handled = match Visit::begin(state, request, entry.posts).await {
                Ok(visit) => (entry.handler)(visit).await,
                Err(response) => Err(response),
            };
            handled.unwrap_or_else(|response| *response)
        }
    })
}
