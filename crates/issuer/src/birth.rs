//! How a family begins: what a person granted, made into the row and the audit entry that are written together.

use std::time::Duration;

use vouchsafe_protocol::{
    ErrorCode, FamilyId, GrantType, Jti, Reason, ScopeSet, SecretString, Subject, Timestamp,
};
use vouchsafe_store::{AuditEntry, Client, Family, NewFamily, Recent, Redeemed};

use crate::audit::{Event, Remark, announce};
use crate::{Actor, Error, Issuer};

/// What a family is born with.
pub(crate) struct Birth {
    pub(crate) subject: Subject,
    pub(crate) scope: ScopeSet,
    pub(crate) audience: Vec<String>,
    pub(crate) auth_time: Timestamp,
    pub(crate) acr: Option<String>,
    pub(crate) amr: Vec<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) claims: Option<String>,
    /// The hash that a password was checked against just now.
    pub(crate) password_hash: Option<SecretString>,
    /// What the audit says of it.
    pub(crate) noted: (&'static str, &'static str),
}

/// A family that is not written yet.
pub(crate) struct Unborn {
    pub(crate) new: NewFamily,
    pub(crate) audit: AuditEntry,
}

/// How long refresh tokens of a client live.
pub(crate) struct RefreshLife {
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
}

impl Issuer {
    pub(crate) fn unborn(&self, client: &Client, birth: Birth) -> Result<Unborn, Error> {
        let now = self.now();
        let refreshable = client.grants.contains(&GrantType::RefreshToken);
        let life = self.refresh_life(client);
        let absolute = now.plus(if refreshable {
            life.absolute
        } else {
            self.config.max_access_ttl
        });
        let family = Family {
            id: FamilyId::random(self.entropy()),
            client_id: client.id.clone(),
            subject: birth.subject,
            scope: birth.scope,
            audience: birth.audience,
            auth_time: birth.auth_time,
            acr: birth.acr,
            amr: birth.amr,
            refreshable,
            seq: 0,
            current_jti: Jti::random(self.entropy()),
            previous_jti: None,
            mac_kid: self.active_mac_kid()?,
            rotated_at: now,
            recent: Recent::default(),
            created_at: now,
            idle_expires_at: now.plus(life.idle).min(absolute),
            absolute_expires_at: absolute,
            ended: None,
            session_id: birth.session_id,
            claims: birth.claims,
        };
        let (member, value) = birth.noted;
        let audit = Remark::new(Event::FamilyBegun, &Actor::User(family.subject.clone()), now)
            .client(&client.id)
            .subject(&family.subject)
            .family(&family.id)
            .with(member, value)
            .entry();
        let new = NewFamily {
            family,
            password_hash: birth.password_hash,
        };
        Ok(Unborn { new, audit })
    }

    pub(crate) fn refresh_life(&self, client: &Client) -> RefreshLife {
        let own = |ttl: Option<i64>, limit: Duration| {
            ttl.and_then(|ttl| u64::try_from(ttl).ok())
                .map_or(limit, |ttl| Duration::from_secs(ttl).min(limit))
        };
        RefreshLife {
            idle: own(client.refresh_idle_ttl, self.config.refresh_idle_ttl),
            absolute: own(client.refresh_absolute_ttl, self.config.refresh_absolute_ttl),
        }
    }
}

impl Unborn {
    /// The family that was written.
    pub(crate) fn born(self) -> Family {
        announce(&self.audit);
        self.new.family
    }

    /// The family, if it is the one that a code led to.
    pub(crate) fn redeemed(self, redeemed: Redeemed) -> Result<Family, Error> {
        let refused = |reason| Err(Error::refused(ErrorCode::InvalidGrant, reason));
        match redeemed {
            Redeemed::Now => Ok(self.born()),
            // Whoever came first has it; nothing of theirs ends for it, since both asked at once.
            Redeemed::NotNow => refused(Reason::Reused),
            Redeemed::Refused => refused(Reason::Revoked),
        }
    }
}
