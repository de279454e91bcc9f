//! Keys as the store keeps them and as the keys crate knows them: the one place that knows both.

use vouchsafe_keys::{KeyRecord, SealedKey};
use vouchsafe_store::{KeyRow, StoreError};

/// Reads a row.
pub(crate) fn record(row: KeyRow) -> Result<KeyRecord, StoreError> {
    let corrupt = |column| StoreError::Corrupt {
        table: "issuer_key",
        column,
        id: row.kid.to_string(),
    };
    let sealed = match (row.sealed.clone(), row.sealed_by.clone()) {
        (Some(bytes), Some(master_id)) => Some(SealedKey {
            master_id,
            nonce_and_ciphertext: bytes,
        }),
        (None, None) => None,
        _ => return Err(corrupt("sealed")),
    };
    let public_jwk = row.public_jwk.as_deref().map(serde_json::from_str).transpose();
    Ok(KeyRecord {
        algorithm: row.algorithm.parse().map_err(|_| corrupt("algorithm"))?,
        purpose: row.purpose.parse().map_err(|_| corrupt("purpose"))?,
        public_jwk: public_jwk.map_err(|_| corrupt("public_jwk"))?,
        sealed,
        published_at: row.published_at,
        activates_at: row.activates_at,
        deactivates_at: row.deactivates_at,
        compromised_at: row.compromised_at,
        kid: row.kid,
    })
}

/// Writes a record.
pub(crate) fn row(record: &KeyRecord) -> KeyRow {
    KeyRow {
        kid: record.kid.clone(),
        algorithm: record.algorithm.as_str().to_owned(),
        purpose: record.purpose.as_str().to_owned(),
        // A public JWK is a flat object of strings, which always serialises.
        public_jwk: record
            .public_jwk
            .as_ref()
            .and_then(|jwk| serde_json::to_string(jwk).ok()),
        sealed: record
            .sealed
            .as_ref()
            .map(|sealed| sealed.nonce_and_ciphertext.clone()),
        sealed_by: record.sealed.as_ref().map(|sealed| sealed.master_id.clone()),
        published_at: record.published_at,
        activates_at: record.activates_at,
        deactivates_at: record.deactivates_at,
        compromised_at: record.compromised_at,
    }
}
