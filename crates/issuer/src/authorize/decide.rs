//! What comes next for a request that was found good: sign in, choose an account, consent, or an answer.

use std::time::Duration;

use vouchsafe_protocol::{ErrorCode, Prompt, Reason, Refusal, Subject};
use vouchsafe_store::{Consent, Session};

use super::answer::{Answer, AuthorizeError};
use super::request::Judged;
use crate::consent::must_be_asked_each_time;
use crate::opaque::hash_of;
use crate::session::ACR;
use crate::{Error, Issuer, Visitor};

const NO_CONSENT: Refusal = Refusal::new(ErrorCode::ConsentRequired, Reason::NoConsent);

/// What the browser proved for this very request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proofs {
    /// The person signed in for it.
    pub signed_in: bool,
    /// The person chose the account for it.
    pub selected: bool,
}

/// What comes next.
#[derive(Clone, Debug)]
pub enum Step {
    /// The person proves who they are.
    SignIn,
    /// The person says whether they go on as who is signed in.
    SelectAccount(Box<Session>),
    /// The person is asked.
    Consent(Box<ConsentQuestion>),
    /// The client gets its answer.
    Answer(Box<Answer>),
}

/// What a person is asked to allow.
#[derive(Clone, Debug)]
pub struct ConsentQuestion {
    /// Who is asked.
    pub session: Session,
    /// Every scope that would be granted, and the resource that knows it.
    pub scopes: Vec<(String, Option<String>)>,
    /// False when they allowed all of it before, or are not asked for this client.
    pub must_be_asked: bool,
    /// Names all that the page says: who asks, where the answer goes, and for what. An answer to another question is none to
    /// this one.
    pub digest: String,
    pub(super) consents: Vec<Consent>,
}

impl Issuer {
    /// Decides on the next step, and takes it when nobody has to be asked: then a code is issued.
    ///
    /// # Errors
    /// [`AuthorizeError`]; with `prompt=none` whatever somebody would have to be asked.
    pub async fn authorize(
        &self,
        judged: &Judged,
        visitor: &Visitor,
        proofs: Proofs,
    ) -> Result<Step, AuthorizeError> {
        let mut question = match self.decide(judged, visitor, proofs).await? {
            Step::Consent(question) if !question.must_be_asked => question,
            step => return Ok(step),
        };
        match self.answer_unasked(judged, &question).await? {
            Some(answer) => Ok(Step::Answer(Box::new(answer))),
            // What made asking needless was taken back meanwhile.
            None if judged.is_silent() => Err(judged.way.refuse(NO_CONSENT)),
            None => {
                question.must_be_asked = true;
                Ok(Step::Consent(question))
            }
        }
    }

    /// What comes first; a [`Step::Consent`] also where nobody has to be asked.
    pub(super) async fn decide(
        &self,
        judged: &Judged,
        visitor: &Visitor,
        proofs: Proofs,
    ) -> Result<Step, AuthorizeError> {
        let prompt = &judged.request.prompt;
        let silent = judged.is_silent();
        let refuse = |code, reason| Err(judged.way.refuse(Refusal::new(code, reason)));
        if !self.context_is_met(judged) {
            return refuse(ErrorCode::AccessDenied, Reason::InvalidParameter);
        }
        let Some(session) = &visitor.session else {
            return match silent {
                true => refuse(ErrorCode::LoginRequired, Reason::NotSignedIn),
                false => Ok(Step::SignIn),
            };
        };
        let expected = self.is_expected(judged, &session.subject).await?;
        match (proofs.signed_in, expected && self.is_fresh(judged, session)) {
            // Somebody else than the client expects signed in for it.
            (true, _) if !expected => return refuse(ErrorCode::LoginRequired, Reason::OtherPerson),
            (true, _) | (false, true) => {}
            (false, false) if silent => return refuse(ErrorCode::LoginRequired, Reason::NotSignedIn),
            (false, false) => return Ok(Step::SignIn),
        }
        if prompt.contains(&Prompt::SelectAccount) && !proofs.signed_in && !proofs.selected {
            return Ok(Step::SelectAccount(Box::new(session.clone())));
        }
        let question = self.question(judged, session).await;
        let question = question.map_err(|error| judged.way.fail(error))?;
        if question.must_be_asked && silent {
            return Err(judged.way.refuse(NO_CONSENT));
        }
        Ok(Step::Consent(Box::new(question)))
    }

    /// An essential context that nobody here can be let in by is a failed sign-in (OpenID Connect Core 5.5.1.1).
    fn context_is_met(&self, judged: &Judged) -> bool {
        let essential = &judged.request.claims.essential_acr;
        essential.is_empty() || essential.iter().any(|acr| acr == ACR)
    }

    /// Whether the person proved it late enough, and has not to do it again.
    fn is_fresh(&self, judged: &Judged, session: &Session) -> bool {
        let asked = &judged.request;
        let young = asked
            .max_age
            .is_none_or(|age| age > 0 && self.now().since(session.auth_time) <= Duration::from_secs(age));
        young && !asked.prompt.contains(&Prompt::Login)
    }

    /// Whether this is who the client expects, by an ID token or by name (OpenID Connect Core 3.1.2.1, 5.5.1).
    async fn is_expected(&self, judged: &Judged, subject: &Subject) -> Result<bool, AuthorizeError> {
        let refuse = |reason| judged.way.refuse(Refusal::new(ErrorCode::InvalidRequest, reason));
        let hint = match &judged.request.id_token_hint {
            Some(token) => {
                let hint = self.read_id_token_hint(token);
                Some(hint.ok_or_else(|| refuse(Reason::MalformedToken))?.sub)
            }
            None => None,
        };
        let wanted = [hint, judged.request.claims.sub.clone()];
        if wanted.iter().all(Option::is_none) {
            return Ok(true);
        }
        let sub = self.sub_for(&judged.client, subject).await;
        let sub = sub.map_err(|error| judged.way.fail(error))?;
        Ok(wanted.iter().flatten().all(|wanted| wanted == sub.as_str()))
    }

    /// What would be asked, and whether it has to be.
    async fn question(&self, judged: &Judged, session: &Session) -> Result<ConsentQuestion, Error> {
        let mut scopes = self.scope_lines(&judged.client, &judged.targets, &judged.scope);
        scopes.extend(judged.by_name.iter().map(|scope| (scope.to_string(), None)));
        let mut covered = !must_be_asked_each_time(&judged.client, judged.redirect_uri());
        let mut consents = Vec::new();
        for target in &judged.targets {
            let consent = Consent {
                subject: session.subject.clone(),
                client_id: judged.client.id.clone(),
                audience: target.audience().pop().unwrap_or_default(),
                scope: self
                    .scope_at_target(&judged.client, &judged.scope, target)
                    .union(&judged.by_name),
                granted_at: self.now(),
            };
            covered = covered && self.is_allowed(&consent).await?;
            consents.push(consent);
        }
        let said = serde_json::json!([judged.client.name, judged.redirect_uri(), scopes]);
        Ok(ConsentQuestion {
            session: session.clone(),
            must_be_asked: judged.request.prompt.contains(&Prompt::Consent)
                || !(covered || judged.client.skip_consent),
            digest: hash_of(&said.to_string()),
            scopes,
            consents,
        })
    }
}
