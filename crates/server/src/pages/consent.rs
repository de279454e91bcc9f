//! `GET` and `POST /consent`: what a client asks for, in words, and the person's yes or no.

use http::{Method, StatusCode};
use vouchsafe_issuer::{Client, ConsentQuestion, Judged, TicketPurpose};
use vouchsafe_protocol::{Reason, redirect_uri};

use super::authorize::judge;
use super::continuation::Continuation;
use super::respond;
use super::scopes::lines;
use super::view::Consent;
use super::visit::{Handled, Visit};

pub(super) async fn handle(mut visit: Visit) -> Handled {
    let continuation = visit.continuation();
    let Some(continuation) = continuation.filter(|to| to.authorization_query().is_some()) else {
        return Err(visit.unclear(Reason::InvalidParameter));
    };
    let judged = judge(&mut visit, &continuation).await?;
    let proofs = visit.proofs(&continuation);
    let question = visit
        .state
        .issuer
        .consent_question(&judged, &visit.visitor, proofs)
        .await;
    let question = question.map_err(|error| Box::new(respond::unauthorized(&visit, error)))?;
    if visit.method == Method::POST {
        return posted(&mut visit, &continuation, &judged, question).await;
    }
    match question.filter(|question| question.must_be_asked) {
        Some(question) => show(&mut visit, &continuation, &judged, &question).await,
        // Something else comes first, or nothing has to be asked any more.
        None => Ok(respond::go(&visit, continuation.as_str())),
    }
}

async fn show(
    visit: &mut Visit,
    continuation: &Continuation,
    judged: &Judged,
    question: &ConsentQuestion,
) -> Handled {
    let ticket = visit.ticket_and_name(TicketPurpose::Consent, continuation.as_str());
    let (ticket, username) = ticket.await?;
    let client = &judged.client;
    let redirect_host = redirect_uri::host_of(judged.redirect_uri());
    let view = Consent {
        page: visit.page(Some(client)),
        ticket,
        continue_to: continuation.as_str().to_owned(),
        question: question.digest.clone(),
        username,
        client: client.name.clone().unwrap_or_else(|| client.id.to_string()),
        client_host: client
            .is_stranger()
            .then(|| host_of(client, Some(judged.redirect_uri()))),
        // Where the scheme alone says where it leads, an app on this device does.
        loopback: redirect_host.is_none() || redirect_uri::is_loopback(judged.redirect_uri()),
        redirect_host: redirect_host.unwrap_or_default(),
        scopes: lines(visit.lang, &question.scopes),
        policy_uri: client.policy_uri.clone(),
        tos_uri: client.tos_uri.clone(),
    };
    Ok(respond::page(visit, StatusCode::OK, &view.page, &view))
}

/// Where a client that nobody vouches for is known to be: the host of its document, else the one that the answer goes to.
/// What it says of itself proves nothing.
pub(super) fn host_of(client: &Client, redirect_to: Option<&str>) -> Option<String> {
    let elsewhere = redirect_to.filter(|uri| !redirect_uri::is_loopback(uri));
    redirect_uri::host_of(client.id.as_str()).or_else(|| elsewhere.and_then(redirect_uri::host_of))
}

async fn posted(
    visit: &mut Visit,
    continuation: &Continuation,
    judged: &Judged,
    question: Option<ConsentQuestion>,
) -> Handled {
    let Some(ticket) = visit.takes(TicketPurpose::Consent, continuation.as_str()) else {
        return Ok(visit.foreign());
    };
    let answer = match (visit.form.get("decision"), question) {
        (Some("deny"), _) => {
            let issuer = &visit.state.issuer;
            issuer.denied(judged, &visit.visitor, &ticket).await
        }
        (Some("allow"), Some(question)) if visit.form.get("question") == Some(question.digest.as_str()) => {
            visit.state.issuer.consented(judged, &question, &ticket).await
        }
        // What would be allowed is not what the person read.
        (Some("allow"), Some(question)) => return show(visit, continuation, judged, &question).await,
        (Some("allow"), None) => return Ok(respond::go(visit, continuation.as_str())),
        _ => return Err(visit.unclear(Reason::MissingParameter)),
    };
    Ok(match answer {
        Ok(answer) => respond::answer(visit, answer),
        Err(error) => respond::unauthorized(visit, error),
    })
}
