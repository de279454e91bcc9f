//! Resources and roles as one snapshot, and what a set of roles amounts to.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use vouchsafe_protocol::{ErrorCode, Reason, RoleName, ScopeSet, Subject};
use vouchsafe_store::{Resource, Role};

use crate::{Error, Issuer};

/// Every resource and role, as last read.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    resources: HashMap<String, Arc<Resource>>,
    roles: HashMap<RoleName, Role>,
}

/// What a person may do: every role they have, included ones too, and every permission of those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) roles: Vec<RoleName>,
    pub(crate) permissions: ScopeSet,
}

impl Catalog {
    fn new(resources: Vec<Resource>, roles: Vec<Role>) -> Self {
        Self {
            resources: resources
                .into_iter()
                .map(|resource| (resource.uri.to_string(), Arc::new(resource)))
                .collect(),
            roles: roles.into_iter().map(|role| (role.name.clone(), role)).collect(),
        }
    }

    pub(crate) fn resource(&self, uri: &str) -> Option<&Arc<Resource>> {
        self.resources.get(uri)
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// True when some resource knows this scope.
    pub(crate) fn belongs_to_a_resource(&self, scope: &str) -> bool {
        self.resources
            .values()
            .any(|resource| resource.scope.contains(scope))
    }

    pub(crate) fn has_role(&self, name: &RoleName) -> bool {
        self.roles.contains_key(name)
    }

    /// Follows inclusion from the direct roles; a circle ends where it began.
    pub(crate) fn authority(&self, direct: &[RoleName]) -> Authority {
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<&RoleName> = direct.iter().collect();
        let mut permissions = ScopeSet::empty();
        while let Some(name) = waiting.pop() {
            let Some(role) = self.roles.get(name) else {
                continue;
            };
            if reached.insert(role.name.clone()) {
                permissions = permissions.union(&role.permissions);
                waiting.extend(&role.includes);
            }
        }
        Authority {
            roles: reached.into_iter().collect(),
            permissions,
        }
    }
}

impl Issuer {
    /// What a person may do now; a person who is gone may do nothing more.
    pub(crate) async fn authority_of(&self, subject: &Subject) -> Result<Authority, Error> {
        let user = self.store.user(subject).await?;
        let user = user.ok_or(Error::refused(ErrorCode::InvalidGrant, Reason::Revoked))?;
        Ok(self.catalog.load().authority(&user.roles))
    }

    /// Reads every resource and role again.
    pub(crate) async fn reload_catalog(&self) -> Result<(), Error> {
        let resources = self.store.resources().await?;
        let roles = self.store.roles().await?;
        self.catalog.store(Arc::new(Catalog::new(resources, roles)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_protocol::Timestamp;

    use super::*;

    fn role(name: &str, permissions: &str, includes: &[&str]) -> Role {
        Role {
            name: RoleName::parse(name).unwrap(),
            permissions: ScopeSet::parse(permissions).unwrap(),
            includes: includes
                .iter()
                .map(|name| RoleName::parse(name).unwrap())
                .collect(),
            created_at: Timestamp::from_unix(0),
        }
    }

    #[test]
    fn inclusion_is_followed_and_a_circle_ends() {
        let roles = vec![
            role("admin", "items:delete", &["editor"]),
            role("editor", "items:write", &["viewer"]),
            role("viewer", "items:read", &["admin"]),
        ];
        let catalog = Catalog::new(Vec::new(), roles);
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| RoleName::parse(name).unwrap())
                .collect::<Vec<_>>()
        };
        let admin = catalog.authority(&names(&["admin"]));
        assert_eq!(admin.roles, names(&["admin", "editor", "viewer"]));
        assert!(admin.permissions.contains("items:read") && admin.permissions.contains("items:delete"));
        assert_eq!(catalog.authority(&names(&["gone"])), Authority::default());
    }
}
