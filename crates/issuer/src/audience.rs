//! Which audience and which scopes a request may have: resource indicators (RFC 8707), scopes and roles.

use std::sync::Arc;

use vouchsafe_protocol::{
    ErrorCode, GrantType, OFFLINE_ACCESS, OPENID, Reason, ResourceUri, ScopeSet, ScopeToken, is_oidc_scope,
};
use vouchsafe_store::{Client, Resource};

use crate::authority::{Authority, Catalog};
use crate::{Error, Issuer};

/// One audience: a resource, or the issuer itself.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Issuer,
    Resource(Arc<Resource>),
}

impl Target {
    /// The resource, if it is one.
    pub(crate) fn resource(&self) -> Option<&Resource> {
        match self {
            Self::Issuer => None,
            Self::Resource(resource) => Some(resource),
        }
    }

    /// The audience as a family remembers it: nothing means the issuer.
    pub(crate) fn audience(&self) -> Vec<String> {
        self.resource()
            .map(|resource| resource.uri.to_string())
            .into_iter()
            .collect()
    }
}

impl Issuer {
    /// The audience a client asks for: the named resource, else its only one, else the issuer.
    pub(crate) async fn target(&self, client: &Client, asked: Option<&ResourceUri>) -> Result<Target, Error> {
        let refused = |reason| Error::refused(ErrorCode::InvalidTarget, reason);
        self.know_resources_of(client).await?;
        let target = match asked {
            Some(uri) if uri.as_str() == self.config.issuer.as_str() => Target::Issuer,
            Some(uri) => {
                let catalog = self.catalog.load();
                let resource = catalog
                    .resource(uri.as_str())
                    .ok_or(refused(Reason::UnknownResource))?;
                if !client.resources.contains(uri) {
                    return Err(refused(Reason::ResourceNotAllowed));
                }
                Target::Resource(Arc::clone(resource))
            }
            None => self.only_target(client),
        };
        if self.is_served(&target).await? {
            Ok(target)
        } else {
            Err(refused(Reason::ResourceNotAllowed))
        }
    }

    /// A client may have been read before the resources made for it: what it names and is not known is looked up first.
    pub(crate) async fn know_resources_of(&self, client: &Client) -> Result<(), Error> {
        let catalog = self.catalog.load_full();
        if client
            .resources
            .iter()
            .all(|uri| catalog.resource(uri.as_str()).is_some())
        {
            return Ok(());
        }
        self.follow().await
    }

    /// The client's only resource, of those that still exist; else the issuer.
    fn only_target(&self, client: &Client) -> Target {
        let catalog = self.catalog.load();
        let mut existing = client
            .resources
            .iter()
            .filter_map(|uri| catalog.resource(uri.as_str()));
        match (existing.next(), existing.next()) {
            (Some(only), None) => Target::Resource(Arc::clone(only)),
            _ => Target::Issuer,
        }
    }

    /// False when the client that serves the resource was disabled or removed: nobody is there to take a token.
    pub(crate) async fn is_served(&self, target: &Target) -> Result<bool, Error> {
        let Some(server) = target
            .resource()
            .and_then(|resource| resource.server_client_id.as_ref())
        else {
            return Ok(true);
        };
        Ok(self
            .client(server)
            .await?
            .is_some_and(|client| client.disabled_at.is_none()))
    }

    /// Every scope that the client holds at the audience, whoever it acts for.
    pub(crate) fn held(&self, client: &Client, target: &Target) -> ScopeSet {
        let catalog = self.catalog.load();
        let here = |scope: &str| match target {
            Target::Resource(resource) => is_oidc_scope(scope) || resource.scope.contains(scope),
            Target::Issuer => is_oidc_scope(scope) || !catalog.belongs_to_a_resource(scope),
        };
        client
            .scope
            .iter()
            .filter(|scope| here(scope.as_str()))
            .cloned()
            .collect()
    }

    /// The scopes a client gets for itself: those of OpenID Connect that need a person are not among them.
    pub(crate) fn scope_for_itself(
        &self,
        client: &Client,
        target: &Target,
        asked: Option<&ScopeSet>,
    ) -> Result<ScopeSet, Error> {
        let needs_a_person = |scope: &str| [OPENID, OFFLINE_ACCESS].contains(&scope);
        let held = self
            .held(client, target)
            .iter()
            .filter(|scope| !needs_a_person(scope.as_str()))
            .cloned()
            .collect();
        granted(&held, held.clone(), asked)
    }

    /// The most that a person may grant to a client; roles narrow it each time a token is minted.
    pub(crate) fn scope_for_person(
        &self,
        client: &Client,
        target: &Target,
        asked: Option<&ScopeSet>,
    ) -> Result<ScopeSet, Error> {
        let held = self.held(client, target);
        let allowed = with_offline_access(held.clone(), client);
        granted(&allowed, held, asked)
    }

    /// The audience of a family, as it stands now; none when the resource is gone or no longer the client's.
    pub(crate) fn granted_target(
        &self,
        catalog: &Catalog,
        client: &Client,
        audience: &[String],
    ) -> Option<Target> {
        match audience {
            [] => Some(Target::Issuer),
            [uri] => {
                let resource = catalog.resource(uri)?;
                client
                    .resources
                    .contains(&resource.uri)
                    .then(|| Target::Resource(Arc::clone(resource)))
            }
            _ => None,
        }
    }
}

/// What is asked must be allowed; nothing asked means all that is held (RFC 6749 3.3).
fn granted(allowed: &ScopeSet, held: ScopeSet, asked: Option<&ScopeSet>) -> Result<ScopeSet, Error> {
    match asked {
        Some(asked) if !asked.is_subset_of(allowed) => {
            Err(Error::refused(ErrorCode::InvalidScope, Reason::ScopeNotAllowed))
        }
        Some(asked) => Ok(asked.clone()),
        None => Ok(held),
    }
}

/// Every client that may refresh may ask for `offline_access`, registered or not.
pub(crate) fn with_offline_access(mut scope: ScopeSet, client: &Client) -> ScopeSet {
    if client.grants.contains(&GrantType::RefreshToken)
        && let Ok(token) = ScopeToken::parse(OFFLINE_ACCESS)
    {
        scope.insert(token);
    }
    scope
}

/// Takes away what the person's roles do not permit, at a resource that goes by role.
pub(crate) fn narrow(scope: &ScopeSet, target: &Target, authority: &Authority) -> ScopeSet {
    if !target.resource().is_some_and(|resource| resource.by_role) {
        return scope.clone();
    }
    let permitted = |scope: &str| is_oidc_scope(scope) || authority.permissions.contains(scope);
    scope
        .iter()
        .filter(|scope| permitted(scope.as_str()))
        .cloned()
        .collect()
}
