//! Issuing a code (RFC 6749 4.1.2): once for each decision, under the session that it was made in.

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_protocol::{ErrorCode, Reason, Refusal, random_token};
use vouchsafe_store::{Code, Issued, NewCode, Session};

use super::answer::{Answer, AuthorizeError};
use super::decide::{ConsentQuestion, Proofs, Step};
use super::push::USED_BEFORE;
use super::request::Judged;
use crate::consent::must_be_asked_each_time;
use crate::opaque::Opaque;
use crate::ticket::Ticket;
use crate::{Error, Issuer, Visitor};

/// RFC 6749 4.1.2 allows ten minutes; a redirect takes less.
const LIFE: Duration = Duration::from_secs(60);
const INTERACTION_BYTES: usize = 16;
const BEFORE: Refusal = Refusal::new(ErrorCode::InvalidRequest, Reason::DecidedBefore);
/// Also for a person who was locked and a client that was disabled just now: both lose their sessions.
const OVER: Refusal = Refusal::new(ErrorCode::LoginRequired, Reason::NotSignedIn);

impl Issuer {
    /// What a person is, or would be, asked for this request; none when something else comes first.
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
            Step::Consent(question) => Ok(Some(*question)),
            _ => Ok(None),
        }
    }

    /// Carries out that a person allowed what they were asked on the page that `ticket` names.
    ///
    /// # Errors
    /// [`AuthorizeError`]; a page for a decision that was made before.
    pub async fn consented(
        &self,
        judged: &Judged,
        question: &ConsentQuestion,
        ticket: &Ticket,
    ) -> Result<Answer, AuthorizeError> {
        let Opaque { token, hash } = Opaque::random(self.entropy());
        let mut new = self.new_code(judged, &question.session, hash, ticket.nonce.clone());
        if !must_be_asked_each_time(&judged.client, judged.redirect_uri()) {
            new.consents.clone_from(&question.consents);
        }
        match self.issue(judged, &new).await? {
            Issued::Yes => Ok(judged.way.answer(vec![("code", token.expose().to_owned())])),
            _ => Err(judged.way.refuse(OVER)),
        }
    }

    /// Answers a request that nobody has to be asked for; none when what was allowed before is allowed no longer.
    pub(super) async fn answer_unasked(
        &self,
        judged: &Judged,
        question: &ConsentQuestion,
    ) -> Result<Option<Answer>, AuthorizeError> {
        let Opaque { token, hash } = Opaque::random(self.entropy());
        let interaction = random_token(self.entropy(), INTERACTION_BYTES);
        let mut new = self.new_code(judged, &question.session, hash, interaction);
        if !judged.client.skip_consent {
            new.relies_on.clone_from(&question.consents);
        }
        match self.issue(judged, &new).await? {
            Issued::Yes => Ok(Some(judged.way.answer(vec![("code", token.expose().to_owned())]))),
            Issued::ConsentGone => Ok(None),
            _ => Err(judged.way.refuse(OVER)),
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
            let hash = Opaque::random(self.entropy()).hash;
            let mut new = self.new_code(judged, session, hash, ticket.nonce.clone());
            new.code.expires_at = new.code.created_at;
            self.issue(judged, &new).await?;
        }
        Ok(judged.deny())
    }

    async fn issue(&self, judged: &Judged, new: &NewCode) -> Result<Issued, AuthorizeError> {
        let kept = self.keep_document_client(&judged.client).await;
        kept.map_err(|error| judged.way.fail(error))?;
        let issued = self.store.issue_code(new).await;
        match issued.map_err(|error| judged.way.fail(error.into()))? {
            Issued::DecidedBefore => Err(BEFORE.into()),
            Issued::RequestUsedBefore => Err(USED_BEFORE.into()),
            Issued::ClientChanged => {
                // The next try asks about the other, which may lead elsewhere: nothing is sent there now.
                self.follow().await?;
                Err(Error::Busy.into())
            }
            issued => Ok(issued),
        }
    }

    fn new_code(&self, judged: &Judged, session: &Session, hash: String, interaction: String) -> NewCode {
        NewCode {
            code: self.code_for(judged, session, hash),
            client: Arc::clone(&judged.client),
            interaction,
            pushed: judged.pushed.clone(),
            consents: Vec::new(),
            relies_on: Vec::new(),
        }
    }

    fn code_for(&self, judged: &Judged, session: &Session, hash: String) -> Code {
        let (request, now) = (&judged.request, self.now());
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
