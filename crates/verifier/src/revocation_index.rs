//! What has been revoked, in memory and by key, so that asking costs a few look-ups and no query.

use std::collections::HashMap;
use std::time::Duration;

use vouchsafe_protocol::{AccessTokenClaims, RevocationEntry, RevocationKind, Timestamp};

/// The revocations that may still concern a living token.
///
/// Entries may be applied twice and in any order; the result is the same. The owner puts it behind
/// a lock or an atomic pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationIndex {
    sessions: HashMap<String, Bound>,
    subjects: HashMap<String, Bound>,
    clients: HashMap<String, Bound>,
    jtis: HashMap<String, Bound>,
    kids: HashMap<String, Bound>,
    all: Option<Bound>,
    last_n: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    not_before: Timestamp,
    expires: Timestamp,
}

impl Bound {
    fn merge(&mut self, other: Self) {
        self.not_before = self.not_before.max(other.not_before);
        self.expires = self.expires.max(other.expires);
    }

    /// The second of the revocation is covered: what was issued in it may be older.
    fn covers(&self, iat: Timestamp) -> bool {
        iat <= self.not_before
    }
}

impl RevocationIndex {
    /// An index that revokes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an entry in. Of two for the same key the later `not_before` and the later `expires`
    /// hold.
    pub fn apply(&mut self, entry: &RevocationEntry) {
        self.last_n = self.last_n.max(entry.n);
        let bound = Bound {
            not_before: entry.not_before,
            expires: entry.expires,
        };
        let entries = match entry.kind {
            RevocationKind::Session => &mut self.sessions,
            RevocationKind::Subject => &mut self.subjects,
            RevocationKind::Client => &mut self.clients,
            RevocationKind::Jti => &mut self.jtis,
            RevocationKind::Kid => &mut self.kids,
            RevocationKind::All => {
                self.all.get_or_insert(bound).merge(bound);
                return;
            }
        };
        entries
            .entry(entry.key.clone())
            .and_modify(|known| known.merge(bound))
            .or_insert(bound);
    }

    /// The highest number applied so far, 0 before the first.
    pub fn last_n(&self) -> i64 {
        self.last_n
    }

    /// Forgets the entries that no token can need any more: those with `expires` before `now`.
    pub fn sweep(&mut self, now: Timestamp) {
        for entries in self.maps_mut() {
            entries.retain(|_, bound| bound.expires >= now);
        }
        self.all = self.all.filter(|bound| bound.expires >= now);
    }

    /// The number of keys with a revocation.
    pub fn len(&self) -> usize {
        let named: usize = self.maps().into_iter().map(HashMap::len).sum();
        named + usize::from(self.all.is_some())
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a token with these claims, signed by the key `kid`, is revoked.
    ///
    /// Session, token and key entries cover every token they name; subject, client and issuer-wide
    /// entries those with an `iat` up to and including their `not_before`.
    pub fn is_revoked(&self, claims: &AccessTokenClaims, kid: &str) -> bool {
        let named = self.jtis.contains_key(claims.jti.as_str())
            || self.kids.contains_key(kid)
            || claims
                .sid
                .as_ref()
                .is_some_and(|sid| self.sessions.contains_key(sid.as_str()));
        named
            || self
                .dated(&claims.sub, claims.client_id.as_str())
                .any(|bound| bound.covers(claims.iat))
    }

    /// The first second of issue that no subject, client or issuer-wide entry covers; `None` when
    /// there is no such entry. Without a `subject` the client is its own (RFC 9068 section 2.2).
    pub fn earliest_iat(&self, subject: Option<&str>, client: &str) -> Option<Timestamp> {
        self.dated(subject.unwrap_or(client), client)
            .map(|bound| bound.not_before)
            .max()
            .map(|not_before| not_before.plus(Duration::from_secs(1)))
    }

    /// The entries that cover tokens by their `iat`.
    fn dated(&self, subject: &str, client: &str) -> impl Iterator<Item = &Bound> {
        let subject = self.subjects.get(subject);
        let client = self.clients.get(client);
        subject.into_iter().chain(client).chain(&self.all)
    }

    fn maps(&self) -> [&HashMap<String, Bound>; 5] {
        [
            &self.sessions,
            &self.subjects,
            &self.clients,
            &self.jtis,
            &self.kids,
        ]
    }

    fn maps_mut(&mut self) -> [&mut HashMap<String, Bound>; 5] {
        [
            &mut self.sessions,
            &mut self.subjects,
            &mut self.clients,
            &mut self.jtis,
            &mut self.kids,
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SID: &str = "BBBBBBBBBBBBBBBBBBBBBA";
    const JTI: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    const SUB: &str = "usr_CCCCCCCCCCCCCCCCCCCCCA";

    fn entry(n: i64, kind: RevocationKind, key: &str, not_before: i64) -> RevocationEntry {
        RevocationEntry {
            n,
            kind,
            key: key.to_owned(),
            not_before: Timestamp::from_unix(not_before),
            expires: Timestamp::from_unix(not_before + 100),
        }
    }

    fn claims(iat: i64) -> AccessTokenClaims {
        serde_json::from_value(json!({
            "iss": "https://issuer.example", "sub": SUB, "aud": "https://api.example",
            "client_id": "app", "scope": "", "iat": iat, "exp": iat + 300, "jti": JTI, "sid": SID,
        }))
        .unwrap()
    }

    fn index(entries: &[RevocationEntry]) -> RevocationIndex {
        let mut index = RevocationIndex::new();
        for entry in entries {
            index.apply(entry);
        }
        index
    }

    /// A fixed sequence of numbers that looks random (a linear congruential generator).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % limit
        }
    }

    fn some_entries(numbers: &mut Numbers) -> Vec<RevocationEntry> {
        let mut entries = Vec::new();
        for n in 1..=30_u32 {
            let kind = *RevocationKind::ALL.get(numbers.below(6) as usize).unwrap();
            let key = if numbers.below(2) == 0 { "app" } else { SUB };
            let mut entry = entry(n.into(), kind, key, numbers.below(50) as i64);
            entry.expires = entry.not_before.plus(Duration::from_secs(numbers.below(50)));
            entries.push(entry);
        }
        entries
    }

    #[test]
    fn j02_named_entries_cover_every_token_they_name() {
        for (kind, key) in [
            (RevocationKind::Session, SID),
            (RevocationKind::Jti, JTI),
            (RevocationKind::Kid, "k1"),
        ] {
            let named = index(&[entry(1, kind, key, 1000)]);
            let other = index(&[entry(1, kind, "other", 1000)]);
            for iat in [0, 999, 1000, 1001, 9999] {
                assert!(named.is_revoked(&claims(iat), "k1"), "{kind} {iat}");
                assert!(!other.is_revoked(&claims(iat), "k1"), "{kind} {iat}");
            }
        }
    }

    #[test]
    fn dated_entries_cover_their_second_and_no_later_one() {
        for (kind, key) in [
            (RevocationKind::Subject, SUB),
            (RevocationKind::Client, "app"),
            (RevocationKind::All, ""),
        ] {
            let index = index(&[entry(1, kind, key, 1000)]);
            for (iat, revoked) in [(0, true), (999, true), (1000, true), (1001, false)] {
                assert_eq!(index.is_revoked(&claims(iat), "k1"), revoked, "{kind} {iat}");
            }
        }
    }

    #[test]
    fn a_key_counts_only_for_its_own_kind() {
        for kind in RevocationKind::ALL {
            for key in [SUB, "app", SID, JTI, "k1"] {
                let names_it = match kind {
                    RevocationKind::Session => key == SID,
                    RevocationKind::Subject => key == SUB,
                    RevocationKind::Client => key == "app",
                    RevocationKind::Jti => key == JTI,
                    RevocationKind::Kid => key == "k1",
                    RevocationKind::All => true,
                };
                let index = index(&[entry(1, kind, key, 1000)]);
                assert_eq!(index.is_revoked(&claims(1000), "k1"), names_it, "{kind} {key}");
            }
        }
    }

    #[test]
    fn a_token_without_session_has_none_to_revoke() {
        let mut claims = claims(1000);
        claims.sid = None;
        let index = index(&[entry(1, RevocationKind::Session, "", 1000)]);
        assert!(!index.is_revoked(&claims, "k1"));
    }

    #[test]
    fn the_order_and_number_of_applications_make_no_difference() {
        let mut numbers = Numbers(7);
        for _ in 0..100 {
            let entries = some_entries(&mut numbers);
            let forwards = index(&entries);
            let mut backwards = entries.clone();
            backwards.reverse();
            assert_eq!(index(&backwards), forwards);
            assert_eq!(index(&[entries, backwards].concat()), forwards);
            assert_eq!(forwards.last_n(), 30);
        }
    }

    #[test]
    fn an_older_entry_never_narrows_a_newer_one() {
        let mut index = index(&[
            entry(2, RevocationKind::Subject, SUB, 1000),
            entry(1, RevocationKind::Subject, SUB, 500),
        ]);
        assert_eq!(index.len(), 1);
        assert_eq!(index.last_n(), 2);
        assert!(index.is_revoked(&claims(1000), "k1"));
        index.sweep(Timestamp::from_unix(1100));
        assert!(index.is_revoked(&claims(1000), "k1"));
    }

    #[test]
    fn sweeping_drops_what_expired_and_nothing_else() {
        let mut numbers = Numbers(11);
        for _ in 0..100 {
            let entries = some_entries(&mut numbers);
            let now = Timestamp::from_unix(numbers.below(100) as i64);
            let mut swept = index(&entries);
            swept.sweep(now);

            let mut expected = RevocationIndex::new();
            for entry in &entries {
                let alike = |other: &&RevocationEntry| {
                    other.kind == entry.kind && (other.key == entry.key || entry.kind == RevocationKind::All)
                };
                if entries.iter().filter(alike).any(|other| other.expires >= now) {
                    expected.apply(entry);
                }
            }
            expected.last_n = 30;
            assert_eq!(swept, expected);
        }
        let mut all = index(&[entry(1, RevocationKind::All, "", 1000)]);
        all.sweep(Timestamp::from_unix(1100));
        assert_eq!(all.len(), 1);
        all.sweep(Timestamp::from_unix(1101));
        assert!(all.is_empty());
        assert_eq!(all.last_n(), 1);
    }

    #[test]
    fn a_token_of_the_earliest_second_is_never_covered() {
        let mut numbers = Numbers(13);
        for _ in 0..100 {
            let mut index = RevocationIndex::new();
            for entry in some_entries(&mut numbers) {
                let dated = matches!(
                    entry.kind,
                    RevocationKind::Subject | RevocationKind::Client | RevocationKind::All
                );
                if dated {
                    index.apply(&entry);
                }
            }
            let person = index.earliest_iat(Some(SUB), "app").unwrap();
            assert!(!index.is_revoked(&claims(person.as_unix()), "k1"));
            assert!(index.is_revoked(&claims(person.as_unix() - 1), "k1"));

            let client = index.earliest_iat(None, "app").unwrap();
            let mut own = claims(client.as_unix());
            own.sub = "app".to_owned();
            assert!(!index.is_revoked(&own, "k1"));
        }
        let named = index(&[
            entry(1, RevocationKind::Session, SID, 1000),
            entry(2, RevocationKind::Jti, JTI, 1000),
            entry(3, RevocationKind::Kid, "k1", 1000),
            entry(4, RevocationKind::Subject, "usr_other", 1000),
        ]);
        assert_eq!(named.earliest_iat(Some(SUB), "app"), None);
    }
}
