//! Who a person is to a client: the same to all, or to each sector another (OpenID Connect Core 8.1).

use vouchsafe_protocol::{GrantType, Subject, redirect_uri};
use vouchsafe_store::Client;

use crate::{Error, Issuer};

impl Issuer {
    /// `sub` of a person in the tokens of a client.
    pub(crate) async fn sub_for(&self, client: &Client, subject: &Subject) -> Result<Subject, Error> {
        if !client.pairwise {
            return Ok(subject.clone());
        }
        let fresh = Subject::random(self.entropy());
        let sector = sector_of(client);
        Ok(self.store.pairwise_subject(subject, &sector, &fresh).await?)
    }
}

/// Whether people have the same names at a client as before. Who could have them under two names would know who is who.
pub(crate) fn keeps_names(before: &Client, after: &Client) -> bool {
    before.pairwise == after.pairwise && (!after.pairwise || sector_of(before) == sector_of(after))
}

/// The sector where no document of one says otherwise: the host of the redirect URIs; the client itself where that would be
/// everybody's own machine, or where a device could ask that no redirect proves anything of.
pub(crate) fn sector_by_nature(client: &Client) -> String {
    let by_device = client.is_stranger() && client.grants.contains(&GrantType::DeviceCode);
    let redirect_to = client.redirect_uris.first();
    let elsewhere = redirect_to.filter(|uri| !by_device && !redirect_uri::is_loopback(uri));
    let host = elsewhere.and_then(|uri| redirect_uri::host_of(uri));
    host.unwrap_or_else(|| client.id.to_string())
}

fn sector_of(client: &Client) -> String {
    let settled = client.sector_identifier.clone();
    settled.unwrap_or_else(|| sector_by_nature(client))
}
