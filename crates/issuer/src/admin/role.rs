//! Roles: create, update, list, delete.

use vouchsafe_protocol::RoleName;
use vouchsafe_store::Role;

use super::{AdminError, or_not_found};
use crate::audit::{Event, Remark};
use crate::{Actor, Issuer};

impl Issuer {
    /// Adds a role: its permissions and the roles it includes.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_role(&self, role: &Role, actor: &Actor) -> Result<(), AdminError> {
        self.check_role(role)?;
        let audit = Remark::new(Event::RoleCreated, actor, self.now())
            .with("role", role.name.as_str())
            .entry();
        self.store.insert_role(role, &audit).await?;
        self.concluded(&audit).await
    }

    /// Replaces what a role permits and includes.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn update_role(&self, role: &Role, actor: &Actor) -> Result<(), AdminError> {
        self.check_role(role)?;
        let audit = Remark::new(Event::RoleUpdated, actor, self.now())
            .with("role", role.name.as_str())
            .entry();
        or_not_found(self.store.update_role(role, &audit).await, "role", &role.name)?;
        self.concluded(&audit).await
    }

    /// Every role, by name.
    ///
    /// # Errors
    /// [`AdminError::Failed`].
    pub async fn list_roles(&self) -> Result<Vec<Role>, AdminError> {
        Ok(self.store.roles().await?)
    }

    /// Removes a role and takes it from everyone who had it.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn delete_role(&self, name: &RoleName, actor: &Actor) -> Result<(), AdminError> {
        let included_by = self
            .store
            .roles()
            .await?
            .into_iter()
            .find(|role| role.includes.contains(name));
        if let Some(role) = included_by {
            return Err(AdminError::Refused(format!("role {} includes it", role.name)));
        }
        let audit = Remark::new(Event::RoleDeleted, actor, self.now())
            .with("role", name.as_str())
            .entry();
        or_not_found(self.store.delete_role(name, &audit).await, "role", name)?;
        self.concluded(&audit).await
    }

    fn check_role(&self, role: &Role) -> Result<(), AdminError> {
        let catalog = self.catalog.load();
        if let Some(unknown) = role.includes.iter().find(|name| !catalog.has_role(name)) {
            return Err(AdminError::not_found("role", unknown));
        }
        if catalog.authority(&role.includes).roles.contains(&role.name) {
            return Err(AdminError::invalid(
                "a role cannot include itself, directly or through others",
            ));
        }
        if !role.permissions.is_within_limits() {
            return Err(AdminError::invalid("a role may list at most 100 permissions"));
        }
        Ok(())
    }
}
