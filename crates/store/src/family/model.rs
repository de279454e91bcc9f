//! What a family is: the row, read strictly.

use std::str::FromStr;

use sea_orm::FromQueryResult;
use vouchsafe_protocol::{ClientId, FamilyId, Jti, Kid, ScopeSet, SecretString, Subject, Timestamp};

use super::Recent;
use crate::StoreError;
use crate::sql::{Cell, instant};

/// Why a family ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeReason {
    /// Its client revoked a token of it (RFC 7009).
    Revoked,
    /// A replaced token came back outside its window (RFC 9700 4.14.2).
    Reused,
    /// An operator ended it.
    Operator,
    /// The person was locked out.
    UserLocked,
    /// The account was removed.
    UserDeleted,
    /// The person's password changed.
    PasswordChanged,
    /// The client was disabled.
    ClientDisabled,
    /// The client was removed.
    ClientDeleted,
    /// The MAC key of its tokens was revoked.
    MacKeyRevoked,
    /// The database lost commits, and with them what may have ended or moved it.
    Rollback,
    /// The person signed out of the browser it was granted in.
    SignedOut,
    /// The person took back what they had allowed the client.
    ConsentWithdrawn,
    /// The person ended it by itself.
    EndedByPerson,
    /// The code that it was made of came back (RFC 6749 4.1.2).
    CodeReused,
}

impl RevokeReason {
    const ALL: [Self; 14] = [
        Self::Revoked,
        Self::Reused,
        Self::Operator,
        Self::UserLocked,
        Self::UserDeleted,
        Self::PasswordChanged,
        Self::ClientDisabled,
        Self::ClientDeleted,
        Self::MacKeyRevoked,
        Self::Rollback,
        Self::SignedOut,
        Self::ConsentWithdrawn,
        Self::EndedByPerson,
        Self::CodeReused,
    ];

    /// The word in the database and in the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Reused => "reused",
            Self::Operator => "operator",
            Self::UserLocked => "user_locked",
            Self::UserDeleted => "user_deleted",
            Self::PasswordChanged => "password_changed",
            Self::ClientDisabled => "client_disabled",
            Self::ClientDeleted => "client_deleted",
            Self::MacKeyRevoked => "mac_key_revoked",
            Self::Rollback => "state_rollback",
            Self::SignedOut => "signed_out",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::EndedByPerson => "ended_by_person",
            Self::CodeReused => "code_reused",
        }
    }
}

impl FromStr for RevokeReason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or(())
    }
}

/// When and why a family ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevokeReason,
}

/// A family as its row tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its id, `sid` in every token of it.
    pub id: FamilyId,
    /// The client it was granted to.
    pub client_id: ClientId,
    /// The person who granted it.
    pub subject: Subject,
    /// The upper bound of its scopes.
    pub scope: ScopeSet,
    /// The upper bound of its audiences; none means the issuer itself.
    pub audience: Vec<String>,
    /// When the person proved who they are.
    pub auth_time: Timestamp,
    /// How well.
    pub acr: Option<String>,
    /// By which means (RFC 8176).
    pub amr: Vec<String>,
    /// True when it has refresh tokens at all.
    pub refreshable: bool,
    /// The number of its live token.
    pub seq: i64,
    /// The id of its live token.
    pub current_jti: Jti,
    /// The id of the token before.
    pub previous_jti: Option<Jti>,
    /// The MAC key of its live token.
    pub mac_kid: Kid,
    /// When its live token was made.
    pub rotated_at: Timestamp,
    /// Its last rotations.
    pub recent: Recent,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends unless it is used.
    pub idle_expires_at: Timestamp,
    /// When it ends.
    pub absolute_expires_at: Timestamp,
    /// When and why it was ended.
    pub ended: Option<Ended>,
    /// The browser session it was granted in, if there was one.
    pub session_id: Option<String>,
    /// The claims that were asked for by name, as JSON.
    pub claims: Option<String>,
}

impl Family {
    /// When it ends unless it is used: the earlier of its idle and its absolute end.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.idle_expires_at.min(self.absolute_expires_at)
    }

    /// True when it is past its end, ended by somebody or not.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends_at()
    }

    /// True for the number and id of its live token.
    #[must_use]
    pub fn is_head(&self, seq: i64, jti: &Jti) -> bool {
        self.seq == seq && self.current_jti == *jti
    }
}

/// A family to be born.
#[derive(Clone, Debug)]
pub struct NewFamily {
    /// The row as it will be.
    pub family: Family,
    /// The hash that the person's password was checked against; a change of it meanwhile forbids the birth.
    pub password_hash: Option<SecretString>,
}

#[derive(FromQueryResult)]
pub(super) struct Row {
    id: String,
    client_id: String,
    subject: String,
    scope: String,
    audience: String,
    auth_time: i64,
    acr: Option<String>,
    amr: String,
    refreshable: i64,
    seq: i64,
    current_jti: String,
    previous_jti: Option<String>,
    mac_kid: String,
    rotated_at: i64,
    recent: String,
    created_at: i64,
    idle_expires_at: i64,
    absolute_expires_at: i64,
    revoked_at: Option<i64>,
    revoke_reason: Option<String>,
    session_id: Option<String>,
    claims: Option<String>,
}

pub(super) const COLUMNS: &str = "id, client_id, subject, scope, audience, auth_time, acr, amr, refreshable, seq, \
    current_jti, previous_jti, mac_kid, rotated_at, recent, created_at, idle_expires_at, absolute_expires_at, \
    revoked_at, revoke_reason, session_id, claims";

impl Row {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn into_family(self) -> Result<Family, StoreError> {
        let id = self.id.clone();
        let cell = |column| Cell {
            table: "refresh_family",
            column,
            id: &id,
        };
        let ended = match (self.revoked_at, self.revoke_reason) {
            (None, None) => None,
            (Some(at), Some(reason)) => Some(Ended {
                at: instant(at),
                reason: cell("revoke_reason").parse(&reason)?,
            }),
            _ => return Err(cell("revoked_at").corrupt()),
        };
        Ok(Family {
            id: cell("id").parse(&self.id)?,
            client_id: cell("client_id").parse(&self.client_id)?,
            subject: cell("subject").parse(&self.subject)?,
            scope: cell("scope").parse(&self.scope)?,
            audience: cell("audience").json(&self.audience)?,
            auth_time: instant(self.auth_time),
            acr: self.acr,
            amr: cell("amr").json(&self.amr)?,
            refreshable: self.refreshable != 0,
            seq: self.seq,
            current_jti: cell("current_jti").parse(&self.current_jti)?,
            previous_jti: self
                .previous_jti
                .map(|jti| cell("previous_jti").parse(&jti))
                .transpose()?,
            mac_kid: cell("mac_kid").parse(&self.mac_kid)?,
            rotated_at: instant(self.rotated_at),
            recent: Recent::parse(self.recent).ok_or_else(|| cell("recent").corrupt())?,
            created_at: instant(self.created_at),
            idle_expires_at: instant(self.idle_expires_at),
            absolute_expires_at: instant(self.absolute_expires_at),
            ended,
            session_id: self.session_id,
            claims: self.claims,
        })
    }
}
