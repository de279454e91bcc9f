//! Events worth remembering, by their stable names, and who caused them.

use serde_json::{Map, Value};
use vouchsafe_protocol::{ClientId, FamilyId, Subject, Timestamp};
use vouchsafe_store::AuditEntry;

/// Who caused a change.
#[derive(Clone, Debug)]
pub enum Actor {
    /// Somebody at the command line: operating-system user and host.
    Operator {
        /// The operating-system user.
        user: String,
        /// The host.
        host: String,
    },
    /// A client, at an endpoint.
    Client(ClientId),
    /// A person.
    User(Subject),
    /// The issuer itself, by the clock.
    System,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    FamilyBegun,
    FamilyRevoked,
    SessionBegun,
    SessionEnded,
    ConsentWithdrawn,
    RegistrationTokenCreated,
    DeviceDecided,
    UserProfileSet,
    RefreshReuseDetected,
    AccessTokenRevoked,
    ClientCreated,
    ClientUpdated,
    ClientSecretRotated,
    ClientDeleted,
    ResourceCreated,
    ResourceUpdated,
    ResourceDeleted,
    RoleCreated,
    RoleUpdated,
    RoleDeleted,
    UserCreated,
    UserLocked,
    UserUnlocked,
    UserPasswordSet,
    UserRolesSet,
    UserDeleted,
    KeysAdvanced,
    KeysRotated,
    KeyRevoked,
    KeysRewrapped,
    RollbackAccepted,
}

impl Event {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::FamilyBegun => "family_begun",
            Self::FamilyRevoked => "family_revoked",
            Self::SessionBegun => "session_begun",
            Self::SessionEnded => "session_ended",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::RegistrationTokenCreated => "registration_token_created",
            Self::DeviceDecided => "device_decided",
            Self::UserProfileSet => "user_profile_set",
            Self::RefreshReuseDetected => "refresh_reuse_detected",
            Self::AccessTokenRevoked => "access_token_revoked",
            Self::ClientCreated => "client_created",
            Self::ClientUpdated => "client_updated",
            Self::ClientSecretRotated => "client_secret_rotated",
            Self::ClientDeleted => "client_deleted",
            Self::ResourceCreated => "resource_created",
            Self::ResourceUpdated => "resource_updated",
            Self::ResourceDeleted => "resource_deleted",
            Self::RoleCreated => "role_created",
            Self::RoleUpdated => "role_updated",
            Self::RoleDeleted => "role_deleted",
            Self::UserCreated => "user_created",
            Self::UserLocked => "user_locked",
            Self::UserUnlocked => "user_unlocked",
            Self::UserPasswordSet => "user_password_set",
            Self::UserRolesSet => "user_roles_set",
            Self::UserDeleted => "user_deleted",
            Self::KeysAdvanced => "keys_advanced",
            Self::KeysRotated => "keys_rotated",
            Self::KeyRevoked => "key_revoked",
            Self::KeysRewrapped => "keys_rewrapped",
            Self::RollbackAccepted => "state_rollback_accepted",
        }
    }
}

/// Builds one entry: who, what, when, and what it concerns.
pub(crate) struct Remark(AuditEntry);

impl Remark {
    pub(crate) fn new(event: Event, actor: &Actor, at: Timestamp) -> Self {
        let (actor_kind, actor) = match actor {
            Actor::Operator { user, host } => ("operator", Some(format!("{user}@{host}"))),
            Actor::Client(id) => ("client", Some(id.to_string())),
            Actor::User(subject) => ("user", Some(subject.to_string())),
            Actor::System => ("system", None),
        };
        Self(AuditEntry {
            at,
            event: event.as_str(),
            actor_kind,
            actor,
            client_id: None,
            subject: None,
            sid: None,
            detail: Map::new(),
        })
    }

    pub(crate) fn client(mut self, id: &ClientId) -> Self {
        self.0.client_id = Some(id.clone());
        self
    }

    pub(crate) fn subject(mut self, subject: &Subject) -> Self {
        self.0.subject = Some(subject.clone());
        self
    }

    pub(crate) fn family(mut self, sid: &FamilyId) -> Self {
        self.0.sid = Some(sid.clone());
        self
    }

    /// A name or a count; never a secret.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.detail.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn entry(self) -> AuditEntry {
        self.0
    }
}

/// Writes the line of the log for an entry that was committed.
pub(crate) fn announce(entry: &AuditEntry) {
    tracing::info!(
        event = entry.event,
        actor_kind = entry.actor_kind,
        actor = entry.actor.as_deref(),
        client_id = entry.client_id.as_ref().map(AsRef::<str>::as_ref),
        subject = entry.subject.as_ref().map(AsRef::<str>::as_ref),
        sid = entry.sid.as_ref().map(AsRef::<str>::as_ref),
        detail = %serde_json::Value::Object(entry.detail.clone()),
    );
}
