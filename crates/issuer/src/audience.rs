//! Which audience and which scopes a request may have: resource indicators (RFC 8707), scopes and roles.

use std::sync::Arc;

use vouchsafe_protocol::{
    ErrorCode, GrantType, OFFLINE_ACCESS, Reason, ResourceUri, ScopeSet, ScopeToken, is_oidc_scope,
};
use vouchsafe_store::{Client, Resource};

use crate::authority::Authority;
use crate::self_description::within_limits;
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
                if !self.may_ask_for(client, resource) {
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
        let only = if client.is_stranger() {
            only_one(
                catalog
                    .resources()
                    .filter(|resource| self.may_ask_for(client, resource)),
            )
        } else {
            only_one(
                client
                    .resources
                    .iter()
                    .filter_map(|uri| catalog.resource(uri.as_str())),
            )
        };
        only.map_or(Target::Issuer, |only| Target::Resource(Arc::clone(only)))
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
        let all = self.scope_of_client(client);
        all.iter().filter(|scope| here(scope.as_str())).cloned().collect()
    }

    /// The scopes a client gets for itself: those of OpenID Connect are about a person, and not among them.
    pub(crate) fn scope_for_itself(
        &self,
        client: &Client,
        target: &Target,
        asked: Option<&ScopeSet>,
    ) -> Result<ScopeSet, Error> {
        let held = self
            .held(client, target)
            .iter()
            .filter(|scope| !is_oidc_scope(scope.as_str()))
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

    /// Every scope that the client holds at one of several audiences.
    pub(crate) fn held_at_any(&self, client: &Client, targets: &[Target]) -> ScopeSet {
        let all = targets.iter().map(|target| self.held(client, target));
        all.fold(ScopeSet::empty(), |all, held| all.union(&held))
    }

    /// The audiences that are asked for, the first of which is the one that tokens are for where none is named, and the
    /// most that a person may grant there.
    pub(crate) async fn targets_and_scope(
        &self,
        client: &Client,
        scope: Option<&ScopeSet>,
        resources: &[ResourceUri],
    ) -> Result<(Vec<Target>, ScopeSet), Error> {
        let mut targets = Vec::new();
        for resource in resources {
            targets.push(self.target(client, Some(resource)).await?);
        }
        if targets.is_empty() {
            targets.push(self.target(client, None).await?);
        }
        let held = self.held_at_any(client, &targets);
        let allowed = with_offline_access(held.clone(), client);
        let scope = granted(&allowed, within_limits(held), scope)?;
        Ok((targets, scope))
    }

    /// Several audiences as a family remembers them, the issuer by its own name.
    pub(crate) fn audience_of(&self, targets: &[Target]) -> Vec<String> {
        if let [target] = targets {
            return target.audience();
        }
        let name = |target: &Target| match target.resource() {
            Some(resource) => resource.uri.to_string(),
            None => self.config.issuer.to_string(),
        };
        targets.iter().map(name).collect()
    }

    /// What of a scope belongs to an audience.
    pub(crate) fn scope_at_target(&self, client: &Client, scope: &ScopeSet, target: &Target) -> ScopeSet {
        scope.intersection(&with_offline_access(self.held(client, target), client))
    }

    /// Every scope with the resource that knows it, for people to read; also what their roles do not permit now, since it
    /// is allowed for the day that they do.
    pub(crate) fn scope_lines(
        &self,
        client: &Client,
        targets: &[Target],
        scope: &ScopeSet,
    ) -> Vec<(String, Option<String>)> {
        let mut lines = Vec::new();
        for target in targets {
            for scope in self.scope_at_target(client, scope, target).iter() {
                let resource = target.resource();
                let knows = resource.filter(|resource| resource.scope.contains(scope.as_str()));
                let line = (scope.to_string(), knows.map(|resource| resource.uri.to_string()));
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        lines
    }

    /// The audiences of a grant, as they stand now.
    pub(crate) fn targets_as_they_stand(&self, client: &Client, audience: &[String]) -> Vec<Target> {
        if audience.is_empty() {
            return vec![Target::Issuer];
        }
        audience
            .iter()
            .filter_map(|uri| self.target_as_it_stands(client, Some(uri)))
            .collect()
    }

    /// The audience of a token under a grant: the one that is named, if it was granted (RFC 8707 2.2), else the first.
    pub(crate) async fn target_of_grant(
        &self,
        client: &Client,
        audience: &[String],
        asked: Option<&ResourceUri>,
    ) -> Result<Target, Error> {
        let wanted = match (asked, audience.first()) {
            (Some(asked), None) if asked.as_str() == self.config.issuer.as_str() => None,
            (Some(asked), _) if audience.iter().any(|uri| uri == asked.as_str()) => Some(asked.as_str()),
            (Some(_), _) => {
                return Err(Error::refused(
                    ErrorCode::InvalidTarget,
                    Reason::ResourceNotGranted,
                ));
            }
            (None, first) => first.map(String::as_str),
        };
        self.know_resources_of(client).await?;
        match self.target_as_it_stands(client, wanted) {
            Some(target) if self.is_served(&target).await? => Ok(target),
            _ => Err(Error::refused(
                ErrorCode::InvalidGrant,
                Reason::ResourceNotAllowed,
            )),
        }
    }

    /// What was granted and has since been taken from the client ends the grant's use.
    pub(crate) fn still_held(
        &self,
        client: &Client,
        audience: &[String],
        scope: &ScopeSet,
    ) -> Result<(), Error> {
        let held = if audience.is_empty() {
            // A resource that was made since takes nothing from the client.
            self.scope_of_client(client)
        } else {
            self.held_at_any(client, &self.targets_as_they_stand(client, audience))
        };
        if scope.is_subset_of(&with_offline_access(held, client)) {
            Ok(())
        } else {
            Err(Error::refused(ErrorCode::InvalidGrant, Reason::ScopeNotAllowed))
        }
    }

    /// An audience of a family, as it stands now; none when the resource is gone or no longer the client's.
    pub(crate) fn target_as_it_stands(&self, client: &Client, uri: Option<&str>) -> Option<Target> {
        let Some(uri) = uri.filter(|uri| *uri != self.config.issuer.as_str()) else {
            return Some(Target::Issuer);
        };
        let catalog = self.catalog.load();
        let resource = catalog.resource(uri)?;
        self.may_ask_for(client, resource)
            .then(|| Target::Resource(Arc::clone(resource)))
    }
}

fn only_one<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
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

/// Takes away what does not belong to the resource, and at one that goes by role what the person's roles do not permit.
pub(crate) fn narrow(scope: &ScopeSet, target: &Target, authority: &Authority) -> ScopeSet {
    let Some(resource) = target.resource() else {
        return scope.clone();
    };
    let permitted = |scope: &str| {
        let belongs = resource.scope.contains(scope);
        is_oidc_scope(scope) || (belongs && (!resource.by_role || authority.permissions.contains(scope)))
    };
    scope
        .iter()
        .filter(|scope| permitted(scope.as_str()))
        .cloned()
        .collect()
}
