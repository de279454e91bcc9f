//! The client credentials grant (RFC 6749 4.4): no person, no refresh token, no write.

use vouchsafe_protocol::{ErrorCode, Reason, ResourceUri, ScopeSet};

use crate::mint::AccessSpec;
use crate::{Authenticated, Error, Issuer, TokenGrant};

impl Issuer {
    pub(crate) async fn client_credentials(
        &self,
        client: &Authenticated,
        scope: Option<&ScopeSet>,
        resource: Option<&ResourceUri>,
    ) -> Result<TokenGrant, Error> {
        confidential_only(client)?;
        let target = self.target(client, resource).await?;
        let scope = self.scope_for_itself(client, &target, scope)?;
        let minted = self
            .mint_access(&AccessSpec {
                client,
                target: &target,
                scope: &scope,
                person: None,
                now: self.now(),
            })
            .await?;
        Ok(TokenGrant {
            access_token: minted.token,
            expires_in: minted.expires_in,
            scope,
            id_token: None,
            refresh: None,
        })
    }
}

fn confidential_only(client: &Authenticated) -> Result<(), Error> {
    if client.is_confidential() {
        Ok(())
    } else {
        Err(Error::refused(
            ErrorCode::UnauthorizedClient,
            Reason::PublicClientNotAllowed,
        ))
    }
}
