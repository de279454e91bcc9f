//! What a presented refresh token is to its family. A pure function of the row, the token, the time and the window;
//! the rotation executes it and the model checks it.

use std::time::Duration;

use vouchsafe_protocol::{ClientId, Jti, Timestamp};

use super::{Family, RevokeReason};

/// The part of a presented refresh token that the decision looks at. Its MAC was checked before.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The authenticated client that presents it.
    pub client_id: &'a ClientId,
    /// Its number.
    pub seq: i64,
    /// Its id.
    pub jti: &'a Jti,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The live token: rotate.
    Rotate,
    /// The token before the live one, inside its window: the same successor again.
    Retry,
    /// An older token of a lively client, inside the window: refuse, change nothing.
    Superseded,
    /// A replaced token that nobody honest holds any more: end the family.
    Reuse,
    /// A token that this database never made: the database lost a line. Refuse, alarm, end nothing.
    Rollback,
    /// Presented by another client.
    ClientMismatch,
    /// The family was ended.
    Ended(RevokeReason),
    /// The family is past its idle or absolute end.
    Expired,
}

/// Decides, in this order: binding, end, position in the line.
#[must_use]
pub fn decide(family: &Family, presented: Presented<'_>, now: Timestamp, window: Duration) -> Decision {
    if family.client_id != *presented.client_id {
        return Decision::ClientMismatch;
    }
    if let Some(ended) = family.ended {
        return Decision::Ended(ended.reason);
    }
    if family.is_over(now) {
        return Decision::Expired;
    }
    let inside = |replaced_at: Timestamp| now.since(replaced_at) <= window;
    match family.seq - presented.seq {
        ..0 => Decision::Rollback,
        0 if family.current_jti == *presented.jti => Decision::Rotate,
        0 => Decision::Rollback,
        1 if family.previous_jti.as_ref() != Some(presented.jti) => Decision::Rollback,
        1 if inside(family.rotated_at) => Decision::Retry,
        1 => Decision::Reuse,
        _ if family.recent.replaced_at(presented.seq).is_some_and(inside) => Decision::Superseded,
        _ => Decision::Reuse,
    }
}
