//! What comes next for a request that was found good: sign in, choose an account, consent, or an answer.

use std::time::Duration;

use vouchsafe_protocol::{ErrorCode, Prompt, Reason, Refusal, Subject};
use vouchsafe_store::{Consent, Session};

use super::answer::{Answer, AuthorizeError};
use super::request::Judged;
use crate::consent::must_be_asked_each_time;
use crate::opaque::hash_of;
use crate::{Error, Issuer, Visitor};

const A_MINUTE: Duration = Duration::from_secs(60);
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
        let Some(session) = &visitor.session else {
            return match silent {
                true => refuse(ErrorCode::LoginRequired, Reason::NotSignedIn),
                false => Ok(Step::SignIn),
            };
        };
        let question = self.question(judged, session).await;
        let question = question.map_err(|error| judged.way.fail(error))?;
        // Whoever was allowed nothing does not learn either who it is.
        if silent && question.must_be_asked && judged.expects_somebody() {
            return Err(judged.way.refuse(NO_CONSENT));
        }
        let expected = self.is_expected(judged, &session.subject).await?;
        let fresh = self.is_fresh(judged, session, proofs.signed_in);
        match (proofs.signed_in, expected && fresh) {
            (_, true) => {}
            // Somebody else than the client expects signed in for it.
            (true, false) if !expected => return refuse(ErrorCode::LoginRequired, Reason::OtherPerson),
            (_, false) if silent => return refuse(ErrorCode::LoginRequired, Reason::NotSignedIn),
            (_, false) => return Ok(Step::SignIn),
        }
        if prompt.contains(&Prompt::SelectAccount) && !proofs.signed_in && !proofs.selected {
            return Ok(Step::SelectAccount(Box::new(session.clone())));
        }
        if question.must_be_asked && silent {
            return Err(judged.way.refuse(NO_CONSENT));
        }
        Ok(Step::Consent(Box::new(question)))
    }

    /// Whether the person proved it late enough, and has not to do it again. Who did so for this request is given a minute
    /// to go on, whatever age the client bears.
    fn is_fresh(&self, judged: &Judged, session: &Session, proven: bool) -> bool {
        let asked = &judged.request;
        let age = self.now().since(session.auth_time);
        match asked.max_age {
            Some(0) => proven,
            Some(oldest) if proven => age <= Duration::from_secs(oldest).max(A_MINUTE),
            Some(oldest) => age <= Duration::from_secs(oldest) && !asked.prompt.contains(&Prompt::Login),
            None => proven || !asked.prompt.contains(&Prompt::Login),
        }
    }

    /// Whether this is who the client expects, by an ID token or by name (OpenID Connect Core 3.1.2.1, 5.5.1).
    async fn is_expected(&self, judged: &Judged, subject: &Subject) -> Result<bool, AuthorizeError> {
        if !judged.expects_somebody() {
            return Ok(true);
        }
        let sub = self.sub_for(&judged.client, subject).await;
        let sub = sub.map_err(|error| judged.way.fail(error))?;
        let wanted = [&judged.hint, &judged.request.claims.sub];
        Ok(wanted.into_iter().flatten().all(|wanted| wanted == sub.as_str()))
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
        // Held in one order, whatever the client named first.
        consents.sort_by(|one, other| one.audience.cmp(&other.audience));
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
