//! `GET` and `POST /consent`: what a client asks for, in words, and the person's yes or no.

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::{Client, ConsentQuestion, Judged, TicketPurpose};
use vouchsafe_protocol::{ErrorCode, Reason, Refusal, redirect_uri};

use super::authorize::{judge, take};
use super::continuation::Continuation;
use super::respond;
use super::texts::{Lang, scope_words};
use super::view::{Consent, ScopeLine};
use super::visit::Visit;

pub(super) async fn handle(mut visit: Visit) -> Response {
    let continuation = visit.continuation();
    let Some(continuation) = continuation.filter(|to| to.authorization_query().is_some()) else {
        return visit.refuse(Refusal::new(ErrorCode::InvalidRequest, Reason::InvalidParameter));
    };
    let judged = match judge(&mut visit, &continuation).await {
        Ok(judged) => judged,
        Err(error) => return respond::unauthorized(&visit, error),
    };
    if visit.method == Method::POST {
        return posted(&visit, &continuation, &judged).await;
    }
    let proofs = visit.proofs(&continuation);
    let question = visit
        .state
        .issuer
        .consent_question(&judged, &visit.visitor, proofs)
        .await;
    match question {
        Ok(Some(question)) => show(&mut visit, &continuation, &judged, &question).await,
        // Something else comes first, or nothing has to be asked any more.
        Ok(None) => respond::go(&visit, continuation.as_str()),
        Err(error) => respond::unauthorized(&visit, error),
    }
}

async fn show(
    visit: &mut Visit,
    continuation: &Continuation,
    judged: &Judged,
    question: &ConsentQuestion,
) -> Response {
    let ticket = visit.ticket(TicketPurpose::Consent, continuation.as_str());
    let (ticket, username) = match (ticket, visit.username().await) {
        (Ok(ticket), Ok(username)) => (ticket, username),
        (Err(error), _) | (_, Err(error)) => return visit.fail(error),
    };
    let client = &judged.client;
    let redirect_host = redirect_uri::host_of(judged.redirect_uri());
    let view = Consent {
        page: visit.page(Some(client)),
        ticket,
        continue_to: continuation.as_str().to_owned(),
        username,
        client: client.name.clone().unwrap_or_else(|| client.id.to_string()),
        client_host: client.is_self_registered().then(|| host_of(client)),
        // Where the scheme alone says where it leads, an app on this device does.
        loopback: redirect_host.is_none() || redirect_uri::is_loopback(judged.redirect_uri()),
        redirect_host: redirect_host.unwrap_or_default(),
        scopes: lines(visit.lang, &question.scopes),
        policy_uri: client.policy_uri.clone(),
        tos_uri: client.tos_uri.clone(),
    };
    respond::page(visit, StatusCode::OK, &view.page, &view)
}

/// Where a client that nobody vouches for comes from: the host of its document, its home page, or its redirect URI.
pub(super) fn host_of(client: &Client) -> String {
    let known = [
        Some(client.id.as_str()),
        client.client_uri.as_deref(),
        client.redirect_uris.first().map(String::as_str),
    ];
    let mut hosts = known.into_iter().flatten().filter_map(redirect_uri::host_of);
    hosts.next().unwrap_or_else(|| client.id.to_string())
}

/// Scopes as a person reads them.
pub(super) fn lines(lang: Lang, scopes: &[(String, Option<String>)]) -> Vec<ScopeLine> {
    let line = |(scope, at): &(String, Option<String>)| match scope_words(lang, scope) {
        Some(words) => ScopeLine {
            words: words.to_owned(),
            at: None,
        },
        None => ScopeLine {
            words: scope.clone(),
            at: at
                .as_deref()
                .map(|at| redirect_uri::host_of(at).unwrap_or_else(|| at.to_owned())),
        },
    };
    scopes.iter().map(line).collect()
}

async fn posted(visit: &Visit, continuation: &Continuation, judged: &Judged) -> Response {
    let Some(ticket) = visit.takes(TicketPurpose::Consent, continuation.as_str()) else {
        return visit.foreign();
    };
    let issuer = &visit.state.issuer;
    let proofs = visit.proofs(continuation);
    match visit.form.get("decision") {
        Some("allow") => {
            let step = issuer.consented(judged, &visit.visitor, proofs, &ticket).await;
            take(visit, continuation, step)
        }
        Some("deny") => match issuer.denied(judged, &visit.visitor, &ticket).await {
            Ok(answer) => respond::answer(visit, answer),
            Err(error) => respond::unauthorized(visit, error),
        },
        _ => visit.refuse(Refusal::new(ErrorCode::InvalidRequest, Reason::MissingParameter)),
    }
}
