//! Issuing a code (RFC 6749 4.1.2): once for each decision, under the session that it was made in.

use std::time::Duration;

use vouchsafe_protocol::{ErrorCode, Reason, Refusal, random_token};
use vouchsafe_store::{Code, Issued, NewCode};

use super::answer::{Answer, AuthorizeError};
use super::decide::{ConsentQuestion, Decided, Proofs, Step};
use super::push::USED_BEFORE;
use super::request::Judged;
use crate::consent::must_be_asked_each_time;
use crate::opaque::Opaque;
use crate::ticket::Ticket;
use crate::{Issuer, Visitor};

/// RFC 6749 4.1.2 allows ten minutes; a redirect takes less.
const LIFE: Duration = Duration::from_secs(60);
const INTERACTION_BYTES: usize = 16;
const BEFORE: Refusal = Refusal::new(ErrorCode::InvalidRequest, Reason::DecidedBefore);
const OVER: Refusal = Refusal::new(ErrorCode::LoginRequired, Reason::NotSignedIn);

impl Issuer {
    /// Carries out what a person allowed on the page that `ticket` names. What is granted follows from the request, judged
    /// anew, not from the form. When something else has to be asked first by now, that is the step.
    ///
    /// # Errors
    /// [`AuthorizeError`]; a page for a decision that was made before.
    pub async fn consented(
        &self,
        judged: &Judged,
        visitor: &Visitor,
        proofs: Proofs,
        ticket: &Ticket,
    ) -> Result<Step, AuthorizeError> {
        let question = match self.decide(judged, visitor, proofs).await? {
            Decided::Granted(question) | Decided::Ask(Step::Consent(question)) => question,
            Decided::Ask(step) => return Ok(step),
        };
        let answer = self.answer_with_code(judged, &question, Some(ticket)).await?;
        Ok(Step::Answer(Box::new(answer)))
    }

    /// What a person is to be asked for this request; none when something else comes first, or nothing has to be asked.
    ///
    /// # Errors
    /// [`AuthorizeError`].
    pub async fn consent_question(
        &self,
        judged: &Judged,
        visitor: &Visitor,
        proofs: Proofs,
    ) -> Result<Option<ConsentQuestion>, AuthorizeError> {
        match self.decide(judged, visitor, proofs).await? {
            Decided::Ask(Step::Consent(question)) => Ok(Some(*question)),
            _ => Ok(None),
        }
    }

    /// Carries out that a person said no on the page that `ticket` names. It is kept as a code that is over from the start
    /// and that nobody holds, so that the same page cannot say yes later.
    ///
    /// # Errors
    /// [`AuthorizeError`]; a page for a decision that was made before.
    pub async fn denied(
        &self,
        judged: &Judged,
        visitor: &Visitor,
        ticket: &Ticket,
    ) -> Result<Answer, AuthorizeError> {
        if let Some(session) = &visitor.session {
            let question = ConsentQuestion {
                session: session.clone(),
                scopes: Vec::new(),
                consents: Vec::new(),
            };
            let mut code = self.code_for(judged, &question, Opaque::random(self.entropy()).hash);
            code.expires_at = code.created_at;
            let new = NewCode {
                code,
                interaction: ticket.nonce.clone(),
                pushed: judged.pushed.clone(),
                consents: Vec::new(),
            };
            let kept = self.store.issue_code(&new).await;
            match kept.map_err(|error| judged.way.fail(error.into()))? {
                Issued::DecidedBefore => return Err(BEFORE.into()),
                Issued::RequestUsedBefore => return Err(USED_BEFORE.into()),
                Issued::Yes | Issued::SessionOver => {}
            }
        }
        Ok(judged.deny())
    }

    pub(super) async fn answer_with_code(
        &self,
        judged: &Judged,
        question: &ConsentQuestion,
        ticket: Option<&Ticket>,
    ) -> Result<Answer, AuthorizeError> {
        let Opaque { token, hash } = Opaque::random(self.entropy());
        let interaction = match ticket {
            Some(ticket) => ticket.nonce.clone(),
            None => random_token(self.entropy(), INTERACTION_BYTES),
        };
        let remembered = ticket.is_some() && !must_be_asked_each_time(&judged.client, judged.redirect_uri());
        let new = NewCode {
            code: self.code_for(judged, question, hash),
            interaction,
            pushed: judged.pushed.clone(),
            consents: if remembered {
                question.consents.clone()
            } else {
                Vec::new()
            },
        };
        let issued = self.store.issue_code(&new).await;
        match issued.map_err(|error| judged.way.fail(error.into()))? {
            Issued::Yes => Ok(judged.way.answer(vec![("code", token.expose().to_owned())])),
            Issued::DecidedBefore => Err(BEFORE.into()),
            Issued::RequestUsedBefore => Err(USED_BEFORE.into()),
            Issued::SessionOver => Err(judged.way.refuse(OVER)),
        }
    }

    fn code_for(&self, judged: &Judged, question: &ConsentQuestion, hash: String) -> Code {
        let (session, request, now) = (&question.session, &judged.request, self.now());
        let claims = (!request.claims.is_empty()).then(|| serde_json::to_string(&request.claims));
        Code {
            hash,
            client_id: judged.client.id.clone(),
            subject: session.subject.clone(),
            session_id: session.id.clone(),
            redirect_uri: judged.way.named.then(|| judged.way.redirect_uri.clone()),
            code_challenge: request
                .code_challenge
                .as_ref()
                .map(|challenge| challenge.as_str().to_owned()),
            nonce: request.nonce.clone(),
            scope: judged.scope.clone(),
            audience: self.audience_of(&judged.targets),
            claims: claims.and_then(Result::ok),
            auth_time: session.auth_time,
            acr: session.acr.clone(),
            amr: session.amr.clone(),
            created_at: now,
            expires_at: now.plus(LIFE),
        }
    }
}
