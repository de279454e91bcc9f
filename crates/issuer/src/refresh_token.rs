//! The refresh token as a string: a JWT for our eyes only, HS256 under a key of its own, pinned to this type,
//! algorithm and purpose. It shares no path with access tokens.

use vouchsafe_jose::{Algorithm, UnverifiedJws};
use vouchsafe_protocol::{ErrorCode, Kid, Reason, RefreshTokenClaims, SecretString, TYP_REFRESH_TOKEN};
use vouchsafe_store::Family;

use crate::{Error, Issuer};

impl Issuer {
    /// The key that new refresh tokens are made with.
    pub(crate) fn active_mac_kid(&self) -> Result<Kid, Error> {
        let ring = self.keys.load();
        ring.refresh_mac(self.now())
            .map(|key| key.kid().clone())
            .ok_or(Error::NoSigningKey)
    }

    /// Writes the live token of a family; what is written follows from the row alone.
    pub(crate) fn seal_refresh_token(&self, family: &Family) -> Result<String, Error> {
        let claims = RefreshTokenClaims {
            iss: self.config.issuer.to_string(),
            aud: self.config.issuer.to_string(),
            client_id: family.client_id.clone(),
            sid: family.id.clone(),
            seq: family.seq,
            jti: family.current_jti.clone(),
            iat: family.rotated_at,
            exp: family.absolute_expires_at,
            scope: family.scope.clone(),
            resource: (!family.audience.is_empty()).then(|| family.audience.clone()),
            cnf: None,
        };
        let ring = self.keys.load();
        let key = ring.refresh_mac(self.now()).ok_or(Error::NoSigningKey)?;
        // The row must name the key, so that revoking it ends the family. When another took over in between, the retry
        // is given a token of that one.
        if *key.kid() != family.mac_kid {
            return Err(Error::NoSigningKey);
        }
        Ok(key.sign(TYP_REFRESH_TOKEN, &claims)?)
    }

    /// Reads a token that this issuer wrote; a forged or garbled one is refused without a query.
    pub(crate) fn open_refresh_token(&self, token: &SecretString) -> Result<RefreshTokenClaims, Error> {
        self.read_refresh_token(token.expose())
            .ok_or(Error::refused(ErrorCode::InvalidGrant, Reason::MalformedToken))
    }

    /// The same for endpoints where an unknown token is no error.
    pub(crate) fn read_refresh_token(&self, token: &str) -> Option<RefreshTokenClaims> {
        let jws = UnverifiedJws::parse(token).ok()?;
        if !jws.has_typ(TYP_REFRESH_TOKEN) || jws.algorithm() != Algorithm::HS256 {
            return None;
        }
        let ring = self.keys.load();
        let key = ring.refresh_mac_verifying(jws.kid()?, self.now())?;
        let claims: RefreshTokenClaims = jws.verify(key).ok()?.claims().ok()?;
        let issuer = self.config.issuer.as_str();
        (claims.iss == issuer && claims.aud == issuer).then_some(claims)
    }
}
