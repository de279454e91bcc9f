//! The device grant (RFC 8628 3.4, 3.5): a device asks until a person has decided, and gets its tokens once.

use vouchsafe_protocol::{ErrorCode, Reason, ResourceUri, SecretString};
use vouchsafe_store::{Approval, DeviceCode, DeviceState, Family, FoundDeviceCode};

use super::invalid;
use crate::birth::Birth;
use crate::config::CLOCKS_APART;
use crate::mint::PersonGrant;
use crate::opaque::hash_of;
use crate::{Authenticated, Error, Issuer, TokenGrant};

impl Issuer {
    pub(crate) async fn device_code(
        &self,
        client: &Authenticated,
        presented: &SecretString,
        resource: Option<&ResourceUri>,
    ) -> Result<TokenGrant, Error> {
        let found = self.store.device_code(&hash_of(presented.expose())).await?;
        let found = found.ok_or(invalid(Reason::UnknownToken))?;
        let code = &found.code;
        issued_to(client, code)?;
        let approval = self.approval(&found).await?;
        let target = self.target_of_grant(client, &code.audience, resource).await?;
        self.still_held(client, &code.audience, &code.scope)?;
        self.must_be_able_to_grant(client, &target, &code.scope).await?;
        let authority = self.authority_of(&approval.subject).await?;
        let family = self.redeem_device(client, code, approval).await?;
        let now = family.created_at;
        self.grant_to_person(PersonGrant {
            client,
            target: &target,
            family: &family,
            authority: &authority,
            asked: None,
            nonce: None,
            now,
        })
        .await
    }

    /// The person's yes, or why there is none to act on.
    async fn approval<'a>(&self, found: &'a FoundDeviceCode) -> Result<&'a Approval, Error> {
        let (code, now) = (&found.code, self.now());
        match &found.state {
            DeviceState::Redeemed(family) => {
                tracing::warn!(
                    event = "device_code_reuse_detected",
                    client_id = code.client_id.as_str(),
                    sid = family.as_str()
                );
                Err(invalid(Reason::Reused))
            }
            _ if now >= code.expires_at || now.plus(CLOCKS_APART) < code.created_at => {
                // Once: whoever asks on costs no writes.
                if code.expires_at > code.created_at {
                    self.store.end_device(&code.hash).await?;
                }
                Err(Error::refused(ErrorCode::ExpiredToken, Reason::Expired))
            }
            DeviceState::Approved(approval) => Ok(approval),
            DeviceState::Denied => Err(Error::refused(ErrorCode::AccessDenied, Reason::Denied)),
            DeviceState::Pending => {
                let early = self.store.poll_device(found, now).await?;
                Err(match early {
                    true => Error::refused(ErrorCode::SlowDown, Reason::TooSoon),
                    false => Error::refused(ErrorCode::AuthorizationPending, Reason::Pending),
                })
            }
        }
    }

    async fn redeem_device(
        &self,
        client: &Authenticated,
        code: &DeviceCode,
        approval: &Approval,
    ) -> Result<Family, Error> {
        let unborn = self.unborn(
            client,
            Birth {
                subject: approval.subject.clone(),
                scope: code.scope.clone(),
                audience: code.audience.clone(),
                auth_time: approval.auth_time,
                acr: approval.acr.clone(),
                amr: approval.amr.clone(),
                // A device stays when the browser that let it in signs out.
                session_id: None,
                claims: None,
                password_hash: None,
                noted: ("grant", "device_code"),
            },
        )?;
        let redeemed = self
            .store
            .redeem_device_code(code, &unborn.new, &unborn.audit)
            .await?;
        unborn.redeemed(redeemed)
    }
}

fn issued_to(client: &Authenticated, code: &DeviceCode) -> Result<(), Error> {
    if code.client_id == client.id {
        return Ok(());
    }
    tracing::warn!(
        event = "device_code_client_mismatch",
        client_id = client.id.as_str()
    );
    Err(invalid(Reason::ClientMismatch))
}
