//! Clients, resources and roles as a file says: what differs is changed, one verb at a time, so that running it again
//! finishes what was cut off.

use vouchsafe_protocol::SecretString;
use vouchsafe_store::{Client, Resource, Role};

use super::AdminError;
use super::client::ClientDraft;
pub use super::desired::{Desired, DesiredClient, DesiredResource, DesiredRole};
use super::desired::{check_names, in_order};
use crate::{Actor, Issuer};

const EVERYTHING: u32 = u32::MAX;

/// What was, or would be, done about one thing.
#[derive(Clone, Debug)]
pub struct Applied {
    /// `created`, `updated`, `unchanged` or `deleted`.
    pub action: &'static str,
    /// `client`, `resource` or `role`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The secret of a client that was made.
    pub secret: Option<SecretString>,
}

/// How to apply.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// Delete what the file does not name.
    pub prune: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

impl Issuer {
    /// Makes clients, resources and roles be what the file says. What was done is put into `done` as it is done, with
    /// the secrets of new clients, so that nothing is lost when a later step fails.
    ///
    /// # Errors
    /// The first [`AdminError`]; what came before it stays done.
    pub async fn apply(
        &self,
        desired: &Desired,
        mode: Mode,
        actor: &Actor,
        done: &mut Vec<Applied>,
    ) -> Result<(), AdminError> {
        check_names(desired)?;
        for role in in_order(&desired.role)? {
            done.push(self.apply_role(role, mode, actor).await?);
        }
        let clients = self.store.clients("", EVERYTHING).await?;
        for resource in &desired.resource {
            // A server that is yet to be made is named once it is there.
            let known = resource
                .server
                .as_ref()
                .is_none_or(|id| clients.iter().any(|client| client.id == *id));
            done.push(self.apply_resource(resource, known, mode, actor).await?);
        }
        for client in &desired.client {
            done.push(self.apply_client(client, mode, actor).await?);
        }
        for resource in desired
            .resource
            .iter()
            .filter(|resource| resource.server.is_some() && !mode.dry_run)
        {
            self.apply_resource(resource, true, mode, actor).await?;
        }
        if mode.prune {
            self.prune(desired, mode, actor, done).await?;
        }
        Ok(())
    }

    async fn apply_role(
        &self,
        wanted: &DesiredRole,
        mode: Mode,
        actor: &Actor,
    ) -> Result<Applied, AdminError> {
        let before = self
            .store
            .roles()
            .await?
            .into_iter()
            .find(|role| role.name == wanted.name);
        let role = Role {
            name: wanted.name.clone(),
            permissions: wanted.permissions.clone(),
            includes: wanted.includes.clone(),
            created_at: before.as_ref().map_or(self.now(), |role| role.created_at),
        };
        let action = match before {
            None => "created",
            Some(before) if before.permissions == role.permissions && before.includes == role.includes => {
                "unchanged"
            }
            Some(_) => "updated",
        };
        match action {
            "created" if !mode.dry_run => self.create_role(&role, actor).await?,
            "updated" if !mode.dry_run => self.update_role(&role, actor).await?,
            _ => {}
        }
        Ok(Applied {
            action,
            kind: "role",
            name: wanted.name.to_string(),
            secret: None,
        })
    }

    async fn apply_resource(
        &self,
        wanted: &DesiredResource,
        with_server: bool,
        mode: Mode,
        actor: &Actor,
    ) -> Result<Applied, AdminError> {
        let before = self.store.resource(&wanted.uri).await?;
        let resource = Resource {
            uri: wanted.uri.clone(),
            scope: wanted.scope.clone(),
            by_role: wanted.by_role,
            closed: wanted.closed,
            server_client_id: wanted.server.clone().filter(|_| with_server),
            signing_algorithm: wanted.access_token_signed_response_alg,
            access_ttl: wanted.access_ttl,
            created_at: before.as_ref().map_or(self.now(), |resource| resource.created_at),
        };
        let action = match before {
            None => "created",
            Some(before) if same_resource(&before, &resource) => "unchanged",
            Some(_) => "updated",
        };
        match action {
            "created" if !mode.dry_run => self.create_resource(&resource, actor).await?,
            "updated" if !mode.dry_run => self.update_resource(&resource, actor).await?,
            _ => {}
        }
        Ok(Applied {
            action,
            kind: "resource",
            name: wanted.uri.to_string(),
            secret: None,
        })
    }

    async fn apply_client(
        &self,
        wanted: &DesiredClient,
        mode: Mode,
        actor: &Actor,
    ) -> Result<Applied, AdminError> {
        let draft = wanted.draft()?;
        let before = self.store.client(&wanted.client_id).await?;
        let name = wanted.client_id.to_string();
        let applied = |action, secret| Applied {
            action,
            kind: "client",
            name: name.clone(),
            secret,
        };
        let Some(before) = before else {
            self.check_new_client(&wanted.client_id, &draft)?;
            if mode.dry_run {
                return Ok(applied("created", None));
            }
            let created = self
                .create_client(Some(wanted.client_id.clone()), &draft, None, actor)
                .await?;
            return Ok(applied("created", created.secret));
        };
        if same_client(&before, &draft) {
            return Ok(applied("unchanged", None));
        }
        if !mode.dry_run {
            self.update_client(&wanted.client_id, &draft, actor).await?;
        }
        Ok(applied("updated", None))
    }

    async fn prune(
        &self,
        desired: &Desired,
        mode: Mode,
        actor: &Actor,
        done: &mut Vec<Applied>,
    ) -> Result<(), AdminError> {
        let deleted = |kind, name: String| Applied {
            action: "deleted",
            kind,
            name,
            secret: None,
        };
        for client in self.store.clients("", EVERYTHING).await? {
            if !desired.client.iter().any(|wanted| wanted.client_id == client.id) {
                if !mode.dry_run {
                    self.delete_client(&client.id, actor).await?;
                }
                done.push(deleted("client", client.id.to_string()));
            }
        }
        for resource in self.store.resources().await? {
            if !desired.resource.iter().any(|wanted| wanted.uri == resource.uri) {
                if !mode.dry_run {
                    self.delete_resource(&resource.uri, actor).await?;
                }
                done.push(deleted("resource", resource.uri.to_string()));
            }
        }
        let mut unwanted = self.store.roles().await?;
        unwanted.retain(|role| !desired.role.iter().any(|wanted| wanted.name == role.name));
        // A role goes before the roles it includes.
        while let Some(at) = unwanted
            .iter()
            .position(|role| !unwanted.iter().any(|o| o.includes.contains(&role.name)))
        {
            let role = unwanted.remove(at);
            if !mode.dry_run {
                self.delete_role(&role.name, actor).await?;
            }
            done.push(deleted("role", role.name.to_string()));
        }
        Ok(())
    }
}

fn same_resource(a: &Resource, b: &Resource) -> bool {
    a.scope == b.scope
        && a.by_role == b.by_role
        && a.closed == b.closed
        && a.server_client_id == b.server_client_id
        && a.signing_algorithm == b.signing_algorithm
        && a.access_ttl == b.access_ttl
}

/// True when the draft says nothing that the client is not already.
fn same_client(client: &Client, draft: &ClientDraft) -> bool {
    fn same<T: PartialEq>(said: Option<&T>, is: &T) -> bool {
        said.is_none_or(|said| said == is)
    }
    fn same_or_absent<T: PartialEq>(said: Option<&T>, is: Option<&T>) -> bool {
        said.is_none() || said == is
    }
    same(draft.auth_method.as_ref(), &client.auth_method)
        && same(draft.application_type.as_ref(), &client.application_type)
        && same(draft.grants.as_ref(), &client.grants)
        && same(draft.scope.as_ref(), &client.scope)
        && same(draft.resources.as_ref(), &client.resources)
        && same(draft.redirect_uris.as_ref(), &client.redirect_uris)
        && same(
            draft.post_logout_redirect_uris.as_ref(),
            &client.post_logout_redirect_uris,
        )
        && same(draft.rotation.as_ref(), &client.rotation)
        && same_or_absent(draft.name.as_ref(), client.name.as_ref())
        && same_or_absent(
            draft.backchannel_logout_uri.as_ref(),
            client.backchannel_logout_uri.as_ref(),
        )
        && same_or_absent(
            draft.signing_algorithm.as_ref(),
            client.signing_algorithm.as_ref(),
        )
        && same_or_absent(draft.access_ttl.as_ref(), client.access_ttl.as_ref())
        && same_or_absent(draft.refresh_idle_ttl.as_ref(), client.refresh_idle_ttl.as_ref())
        && same_or_absent(
            draft.refresh_absolute_ttl.as_ref(),
            client.refresh_absolute_ttl.as_ref(),
        )
}
