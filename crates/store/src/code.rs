//! Authorization codes (RFC 6749 4.1.2): issued once for each decision, redeemed once, and remembered after that, so that
//! a second use is known for one. Redeeming a code and making its family are one transaction.

use std::sync::Arc;

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::failpoint::reach;
use vouchsafe_protocol::{ClientId, FamilyId, ScopeSet, Subject, Timestamp};

use crate::backend::{Write, retrying};
use crate::client::is_shown_as_before;
use crate::consent::{Consent, is_still_allowed, remember};
use crate::family::{NewFamily, give_birth, may_be_born, may_decide};
use crate::pushed_request::use_up;
use crate::session::hold_session;
use crate::sql::{Cell, Which, execute, filter_of, instant, json, one, values_of};
use crate::{AuditEntry, Client, Store, StoreError};

/// What a code stands for.
#[derive(Clone, Debug)]
pub struct Code {
    /// A digest of the code.
    pub hash: String,
    /// The client it was issued to.
    pub client_id: ClientId,
    /// The person who granted it.
    pub subject: Subject,
    /// The browser session it was granted in.
    pub session_id: String,
    /// The redirect URI, if the request named it.
    pub redirect_uri: Option<String>,
    /// The challenge of PKCE (RFC 7636 4.3), always S256.
    pub code_challenge: Option<String>,
    /// What the ID token repeats.
    pub nonce: Option<String>,
    /// What was granted.
    pub scope: ScopeSet,
    /// For which resources; none means the issuer itself.
    pub audience: Vec<String>,
    /// The claims that were asked for by name, as JSON.
    pub claims: Option<String>,
    /// When the person proved who they are.
    pub auth_time: Timestamp,
    /// How well.
    pub acr: Option<String>,
    /// By which means.
    pub amr: Vec<String>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A code to be issued, and what is decided with it.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// The code.
    pub code: Code,
    /// Its client, as people were shown it.
    pub client: Arc<Client>,
    /// Names the decision; a second code for it is refused.
    pub interaction: String,
    /// The digest of the pushed request that is used up.
    pub pushed: Option<String>,
    /// What is remembered of the decision.
    pub consents: Vec<Consent>,
    /// What was allowed before and makes asking needless: it must still be.
    pub relies_on: Vec<Consent>,
}

/// Whether a code was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// It was.
    Yes,
    /// The decision was made before.
    DecidedBefore,
    /// The pushed request was used before.
    RequestUsedBefore,
    /// The session is over.
    SessionOver,
    /// What was allowed before was taken back meanwhile.
    ConsentGone,
    /// Person or client are being ended, or are gone.
    Refused,
    /// People are shown another client by now.
    ClientChanged,
}

/// A code as it is found.
#[derive(Clone, Debug)]
pub struct FoundCode {
    /// What it stands for.
    pub code: Code,
    /// When it was redeemed, and the family that this made.
    pub redeemed: Option<(Timestamp, FamilyId)>,
}

/// What became of a code that was to be redeemed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// The family is made.
    Now,
    /// Somebody redeemed it before, or it has ended.
    NotNow,
    /// The person, the client or the session is no longer good. Nothing was written.
    Refused,
}

#[derive(FromQueryResult)]
struct Row {
    code: String,
    client_id: String,
    subject: String,
    session_id: String,
    redirect_uri: Option<String>,
    code_challenge: Option<String>,
    nonce: Option<String>,
    scope: String,
    audience: String,
    claims: Option<String>,
    auth_time: i64,
    acr: Option<String>,
    amr: String,
    created_at: i64,
    expires_at: i64,
    redeemed_at: Option<i64>,
    family_id: Option<String>,
}

const COLUMNS: &str = "code, client_id, subject, session_id, redirect_uri, code_challenge, nonce, scope, audience, \
    claims, auth_time, acr, amr, created_at, expires_at";

impl Row {
    fn into_code(self) -> Result<FoundCode, StoreError> {
        let id = self.code.clone();
        let cell = |column| Cell {
            table: "authorization_code",
            column,
            id: &id,
        };
        let redeemed = match (self.redeemed_at, self.family_id) {
            (None, None) => None,
            (Some(at), Some(family)) => Some((instant(at), cell("family_id").parse(&family)?)),
            _ => return Err(cell("redeemed_at").corrupt()),
        };
        Ok(FoundCode {
            code: Code {
                client_id: cell("client_id").parse(&self.client_id)?,
                subject: cell("subject").parse(&self.subject)?,
                session_id: self.session_id,
                redirect_uri: self.redirect_uri,
                code_challenge: self.code_challenge,
                nonce: self.nonce,
                scope: cell("scope").parse(&self.scope)?,
                audience: cell("audience").json(&self.audience)?,
                claims: self.claims,
                auth_time: instant(self.auth_time),
                acr: self.acr,
                amr: cell("amr").json(&self.amr)?,
                created_at: instant(self.created_at),
                expires_at: instant(self.expires_at),
                hash: self.code,
            },
            redeemed,
        })
    }
}

impl Store {
    /// Issues a code: the session is held, the pushed request used up, the decision made and remembered, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn issue_code(&self, new: &NewCode) -> Result<Issued, StoreError> {
        let issued = retrying(|| async {
            let write = self.db.write().await?;
            let now = new.code.created_at;
            if !may_decide(&write, &new.code.client_id, &new.code.subject).await? {
                return Ok(Issued::Refused);
            }
            if !is_shown_as_before(&write, &new.client).await? {
                return Ok(Issued::ClientChanged);
            }
            if !hold_session(&write, &new.code.session_id, now).await? {
                return Ok(Issued::SessionOver);
            }
            if let Some(reference) = &new.pushed
                && !use_up(&write, reference, now).await?
            {
                return Ok(Issued::RequestUsedBefore);
            }
            for consent in &new.relies_on {
                if !is_still_allowed(&write, consent).await? {
                    return Ok(Issued::ConsentGone);
                }
            }
            insert(&write, new).await?;
            for consent in &new.consents {
                remember(&write, consent).await?;
            }
            reach("code.before_issue");
            write.commit().await?;
            Ok(Issued::Yes)
        })
        .await;
        match issued {
            Err(StoreError::Exists { .. }) => Ok(Issued::DecidedBefore),
            issued => issued,
        }
    }

    /// One code, redeemed or not, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn code(&self, hash: &str) -> Result<Option<FoundCode>, StoreError> {
        let sql = format!("SELECT {COLUMNS}, redeemed_at, family_id FROM authorization_code WHERE code = $1");
        let row: Option<Row> = one(self.db.reader(), &sql, [hash.into()]).await?;
        row.map(Row::into_code).transpose()
    }

    /// Ends a code that came too late, for good.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn end_code(&self, hash: &str) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            end_codes(&write, &[("code", hash)]).await?;
            write.commit().await
        })
        .await
    }

    /// Redeems a code and makes its family: one guarded statement decides between racers. Person, client and session are
    /// held and checked again before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn redeem_code(
        &self,
        code: &Code,
        new: &NewFamily,
        audit: &AuditEntry,
    ) -> Result<Redeemed, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let now = new.family.created_at;
            let good = may_be_born(&write, new).await? && hold_session(&write, &code.session_id, now).await?;
            if !good {
                return Ok(Redeemed::Refused);
            }
            if !mark_redeemed(&write, code, (&new.family.id, now)).await? {
                return Ok(Redeemed::NotNow);
            }
            give_birth(&write, new, audit).await?;
            reach("code.before_commit");
            write.commit().await?;
            reach("code.after_commit");
            Ok(Redeemed::Now)
        })
        .await
    }
}

/// Ends the codes with these values that nobody redeemed, inside the caller's transaction. Their rows stay as
/// long as the page lives that they were decided on, so that it cannot decide again. Their end lies before whatever a clock
/// that steps back may show while they count as young.
pub(crate) async fn end_codes(write: &Write, which: Which<'_>) -> Result<(), StoreError> {
    let filter = filter_of(which);
    let sql = format!(
        "UPDATE authorization_code SET expires_at = created_at - 3 WHERE {filter}redeemed_at IS NULL"
    );
    execute(&**write, &sql, values_of(which)).await.map(drop)
}

async fn insert(write: &Write, new: &NewCode) -> Result<(), StoreError> {
    let code = &new.code;
    let sql = format!(
        "INSERT INTO authorization_code ({COLUMNS}, interaction) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    );
    let values: [Value; 16] = [
        code.hash.as_str().into(),
        code.client_id.as_str().into(),
        code.subject.as_str().into(),
        code.session_id.as_str().into(),
        code.redirect_uri.clone().into(),
        code.code_challenge.clone().into(),
        code.nonce.clone().into(),
        code.scope.to_string().into(),
        json(&code.audience),
        code.claims.clone().into(),
        code.auth_time.as_unix().into(),
        code.acr.clone().into(),
        json(&code.amr),
        code.created_at.as_unix().into(),
        code.expires_at.as_unix().into(),
        new.interaction.as_str().into(),
    ];
    execute(&**write, &sql, values)
        .await
        .map_err(|error| error.or_exists("decision"))
        .map(drop)
}

async fn mark_redeemed(
    write: &Write,
    code: &Code,
    (family, now): (&FamilyId, Timestamp),
) -> Result<bool, StoreError> {
    let sql = "UPDATE authorization_code SET redeemed_at = $2, family_id = $3 \
               WHERE code = $1 AND client_id = $4 AND redeemed_at IS NULL AND expires_at > $2";
    let values = [
        code.hash.as_str().into(),
        now.as_unix().into(),
        family.as_str().into(),
        code.client_id.as_str().into(),
    ];
    Ok(execute(&**write, sql, values).await? == 1)
}
