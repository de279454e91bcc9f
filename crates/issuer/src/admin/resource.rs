//! Resources: create, update, list, delete.

use vouchsafe_protocol::{ClientId, ResourceUri};
use vouchsafe_store::Resource;

use super::{AdminError, or_not_found};
use crate::audit::{Event, Remark};
use crate::{Actor, Issuer};

impl Issuer {
    /// Adds an audience and the scopes it knows.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_resource(&self, resource: &Resource, actor: &Actor) -> Result<(), AdminError> {
        self.check_resource(resource).await?;
        let audit = Remark::new(Event::ResourceCreated, actor, self.now())
            .with("resource", resource.uri.as_str())
            .entry();
        self.store.insert_resource(resource, &audit).await?;
        self.concluded(&audit).await
    }

    /// Replaces what an audience knows and how it is served.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn update_resource(&self, resource: &Resource, actor: &Actor) -> Result<(), AdminError> {
        self.check_resource(resource).await?;
        let audit = Remark::new(Event::ResourceUpdated, actor, self.now())
            .with("resource", resource.uri.as_str())
            .entry();
        or_not_found(
            self.store.update_resource(resource, &audit).await,
            "resource",
            &resource.uri,
        )?;
        self.concluded(&audit).await
    }

    /// Every audience, by URI.
    ///
    /// # Errors
    /// [`AdminError::Failed`].
    pub async fn list_resources(&self) -> Result<Vec<Resource>, AdminError> {
        Ok(self.store.resources().await?)
    }

    /// Removes an audience: no new token is for it.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn delete_resource(&self, uri: &ResourceUri, actor: &Actor) -> Result<(), AdminError> {
        let audit = Remark::new(Event::ResourceDeleted, actor, self.now())
            .with("resource", uri.as_str())
            .entry();
        or_not_found(self.store.delete_resource(uri, &audit).await, "resource", uri)?;
        self.concluded(&audit).await
    }

    async fn check_resource(&self, resource: &Resource) -> Result<(), AdminError> {
        if resource.uri.as_str() == self.config.issuer.as_str() {
            return Err(AdminError::invalid("the issuer itself is an audience already"));
        }
        if resource.access_ttl.is_some_and(|ttl| ttl <= 0) {
            return Err(AdminError::invalid("a lifetime is at least one second"));
        }
        let algorithm = resource.signing_algorithm;
        if algorithm.is_some_and(|algorithm| !self.config.key_policy.algorithms.contains(&algorithm)) {
            return Err(AdminError::invalid("no key signs with this algorithm here"));
        }
        match &resource.server_client_id {
            Some(id) => self.must_have_client(id).await,
            None => Ok(()),
        }
    }

    async fn must_have_client(&self, id: &ClientId) -> Result<(), AdminError> {
        self.show_client(id).await.map(drop)
    }
}
