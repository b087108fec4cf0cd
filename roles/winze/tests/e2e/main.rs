//! End to end: the real binary, real miners and wallets; or the real hub and mint with a scripted pool between which a
//! test can put anything.
//!
//! | file | what |
//! |---|---|
//! | `shares` | shares become ecash |
//! | `killed` | the same while hub, pool or mint is killed |
//! | `chaos` | the same at moments that a seed chose |
//! | `soak` | a hub's memory with idle and deaf peers, and among strangers |
//! | `bad_quotes` | requests that a mint must refuse, and how its pool hears of it |
//! | `hostile_hub` | a hub that alters, invents and repeats messages |
//! | `operator` | health, metrics, and what is in no log |
//! | `disk` | disks that are full or read-only, files of a newer program |
//! | `outbox` | what the operator sees and does with `winze outbox` |
//! | `pool_set_back` | a pool's store is restored from a backup |
//! | `rolling` | hub and mint are restarted in good order |
//! | `groups` | one speaks to many, some of whom are slow, away or gone |
//! | `reload` | the hub reads its configuration again |
//! | `redis_paths` | a pool whose requests take a list in Redis: alone, beside the hub, while that is away |
//! | `redis_guarded` | Redis with TLS and a password |
//! | `old_mint` | a pool on the hub whose mint is an old one, behind the bridge |
//! | `move_over`, `pool_first` | old pools and their mint move over under load, and back, in either order |
//! | `both_mints` | what both mints of a move have made, share by share |
//! | `by_hand` | the files in `config/`, as the README says |
//! | `world`, `pool`, `peer`, `evil` | the stage: hub and mint in this process, a pool and a peer by hand, a hostile hub |

mod bad_quotes;
mod both_mints;
mod by_hand;
mod chaos;
mod disk;
mod evil;
mod groups;
mod hostile_hub;
mod killed;
mod move_over;
mod old_mint;
mod operator;
mod outbox;
mod peer;
mod pool;
mod pool_first;
mod pool_set_back;
mod redis_guarded;
mod redis_paths;
mod reload;
mod rolling;
mod shares;
mod soak;
mod world;

use winze_testbed::{Deployment, DeploymentPlan};

/// The binary under test.
const WINZE: &str = env!("CARGO_BIN_EXE_winze");

/// Hub, pool and mint as processes, ready for miners.
async fn deployment() -> Deployment {
    let started = Deployment::start(DeploymentPlan::new(WINZE)).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}
