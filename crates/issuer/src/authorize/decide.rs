//! What comes next for a request that was found good: sign in, choose an account, consent, or an answer.

use std::time::Duration;

use vouchsafe_protocol::{ErrorCode, Prompt, Reason, Refusal, Subject};
use vouchsafe_store::{Consent, Session};

use super::answer::{Answer, AuthorizeError};
use super::request::Judged;
use crate::consent::must_be_asked_each_time;
use crate::session::ACR;
use crate::{Error, Issuer, Visitor};

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
        let decided = self.decide(judged, visitor, proofs).await?;
        match decided {
            Decided::Ask(step) => Ok(step),
            Decided::Granted(question) => {
                let answer = self.answer_with_code(judged, &question, None).await?;
                Ok(Step::Answer(Box::new(answer)))
            }
        }
    }

    pub(super) async fn decide(
        &self,
        judged: &Judged,
        visitor: &Visitor,
        proofs: Proofs,
    ) -> Result<Decided, AuthorizeError> {
        let prompt = &judged.request.prompt;
        let silent = prompt.contains(&Prompt::None);
        let refuse = |code, reason| Err(judged.way.refuse(Refusal::new(code, reason)));
        if !self.context_is_met(judged) {
            return refuse(ErrorCode::AccessDenied, Reason::InvalidParameter);
        }
        let Some(session) = &visitor.session else {
            return match silent {
                true => refuse(ErrorCode::LoginRequired, Reason::NotSignedIn),
                false => Ok(Decided::Ask(Step::SignIn)),
            };
        };
        let expected = self.is_expected(judged, &session.subject).await?;
        match (proofs.signed_in, expected && self.is_fresh(judged, session)) {
            // Somebody else than the client expects signed in for it.
            (true, _) if !expected => return refuse(ErrorCode::LoginRequired, Reason::OtherPerson),
            (true, _) | (false, true) => {}
            (false, false) if silent => return refuse(ErrorCode::LoginRequired, Reason::NotSignedIn),
            (false, false) => return Ok(Decided::Ask(Step::SignIn)),
        }
        if prompt.contains(&Prompt::SelectAccount) && !proofs.signed_in && !proofs.selected {
            return Ok(Decided::Ask(Step::SelectAccount(Box::new(session.clone()))));
        }
        let question = self.question(judged, session).await;
        let (question, covered) = question.map_err(|error| judged.way.fail(error))?;
        match covered && !prompt.contains(&Prompt::Consent) {
            true => Ok(Decided::Granted(Box::new(question))),
            false if silent => refuse(ErrorCode::ConsentRequired, Reason::NoConsent),
            false => Ok(Decided::Ask(Step::Consent(Box::new(question)))),
        }
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

    /// What would be asked, and whether it was allowed before.
    async fn question(&self, judged: &Judged, session: &Session) -> Result<(ConsentQuestion, bool), Error> {
        let authority = self.authority_of(&session.subject).await?;
        let mut scopes = self.scope_lines(&judged.client, (&judged.targets, &judged.scope), Some(&authority));
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
        let question = ConsentQuestion {
            session: session.clone(),
            scopes,
            consents,
        };
        Ok((question, covered || judged.client.skip_consent))
    }
}

/// Whether somebody has to be asked.
pub(super) enum Decided {
    Ask(Step),
    Granted(Box<ConsentQuestion>),
}
