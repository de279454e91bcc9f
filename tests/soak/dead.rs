//! Presents what is dead at every replica: at once where its end was answered, a second later elsewhere. The checker
//! says what the answers had to be.

use std::time::Duration;

use tokio::time::sleep;

use crate::family::Family;
use crate::requests::{Manner, Reply};
use crate::rng::Rng;
use crate::tokens::{AccessToken, RefreshToken};
use crate::world::World;

/// A replica learns of an end within a second.
const NOTICE: Duration = Duration::from_millis(1_001);
/// How long one question is put to a replica that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

enum Question<'a> {
    /// What the access token is worth.
    Access(&'a AccessToken),
    /// What the refresh token is worth.
    Refresh(&'a RefreshToken),
    /// For the successor of the refresh token.
    Successor(&'a RefreshToken),
}

/// Presents all that is known of a family that ended; `answered` is the replica that said so and has to know at once.
pub(crate) async fn present(world: &World, family: &Family, answered: Option<usize>, rng: &mut Rng) {
    if let Some(replica) = answered {
        present_at(world, family, replica, rng).await;
    }
    sleep(NOTICE).await;
    for replica in (0..world.fleet.size()).filter(|replica| answered != Some(*replica)) {
        present_at(world, family, replica, rng).await;
    }
}

/// Presents all that is known of a family to one replica.
pub(crate) async fn present_at(world: &World, family: &Family, replica: usize, rng: &mut Rng) {
    for token in family.access() {
        put(world, family, &Question::Access(&token), replica, rng).await;
    }
    let newest = family.newest();
    if !family.app.is_public() {
        put(world, family, &Question::Refresh(&newest), replica, rng).await;
    }
    put(world, family, &Question::Successor(&newest), replica, rng).await;
}

/// Presents one access token that ended while its family lives.
pub(crate) async fn present_access(
    world: &World,
    family: &Family,
    token: &AccessToken,
    answered: usize,
    rng: &mut Rng,
) {
    let question = Question::Access(token);
    put(world, family, &question, answered, rng).await;
    sleep(NOTICE).await;
    for replica in (0..world.fleet.size()).filter(|replica| answered != *replica) {
        put(world, family, &question, replica, rng).await;
    }
}

/// Puts a question until it is answered, or for long enough: the replica may be down.
async fn put(world: &World, family: &Family, question: &Question<'_>, replica: usize, rng: &mut Rng) {
    let since = world.now();
    loop {
        let later = match question {
            Question::Access(token) => world.introspect_access(family, token, replica).await.is_later(),
            Question::Refresh(token) => world.introspect_refresh(family, token, replica).await.is_later(),
            Question::Successor(token) => {
                let reply = world.refresh(family, token, replica, Manner::default()).await;
                matches!(reply, Reply::Later)
            }
        };
        let patient = world.now().saturating_sub(since) < PATIENCE && !world.is_abandoned();
        if !later || !patient {
            return;
        }
        sleep(rng.millis(20, 150)).await;
    }
}
