//! A hub process under loads that it must bear: its memory against what its limits add up to, and how long messages of
//! others take while strangers knock.
//!
//! Everything is on loopback. The peers are light: thousands of them are cheap.

mod bound;
mod error;
mod flood;
mod hub;
mod members;
mod others;
mod peer;
mod report;

pub use error::SoakError;
pub use report::{DeafReport, FloodReport, IdleReport, SoakReport};

use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use winze_hub::HubLimits;
use winze_messages::PeerName;

use bound::Load;
use error::SoakError as Error;
use flood::Closer;
use hub::SoakHub;
use members::Member;
use others::{Meter, Other, Others};
use peer::{Dial, Peer};
use report::{Memory, p99_us};

/// How many peers connect at the same time.
const CONNECTING: usize = 64;
/// How long any of the scenarios may take before it has failed.
const SCENARIO_WITHIN: Duration = Duration::from_secs(240);
/// Without a further byte for those that never read for so long, the hub takes no more for them.
const FED_AFTER: Duration = Duration::from_secs(2);
/// How long the hub bears with those that never read and so say nothing either, in milliseconds: longer than the
/// scenario lasts, so that they stay.
const DEAF_TIMEOUT_MS: u32 = 300_000;

/// A soak.
#[derive(Clone, Debug)]
pub struct SoakPlan {
    /// The `winze` binary.
    pub executable: PathBuf,
    /// Authenticated connections that do nothing.
    pub idle: usize,
    /// Pairs of peers that exchange messages; as many peers as they are together never read.
    pub pairs: usize,
    /// How long idle connections are left alone.
    pub idle_for: Duration,
    /// How long each measurement of latencies takes.
    pub each: Duration,
    /// Floods of the hub, each after one of a listener that only accepts and closes.
    pub floods: usize,
}

/// Runs the scenarios one after the other, each with a hub of its own. `say` gets a line about what goes on. Dropping the
/// future ends the hub.
///
/// # Errors
/// [`SoakError`] where a peer lost its connection or something did not come about: no measure was taken. A broken bound
/// is a report with problems.
pub async fn run(plan: &SoakPlan, mut say: impl FnMut(&str)) -> Result<SoakReport, SoakError> {
    say(&format!("{} idle connections", plan.idle));
    let idle = within("idle connections", idle(plan)).await?;
    say(&format!("{idle}"));
    say(&format!(
        "{} peers that never read, and as many that exchange",
        2 * plan.pairs
    ));
    let deaf = within("peers that never read", deaf(plan)).await?;
    say(&format!("{deaf}"));
    say("a flood of connection attempts from 127.0.0.2");
    let flood = within("flood", flooded(plan)).await?;
    say(&format!("{flood}"));
    Ok(SoakReport { idle, deaf, flood })
}

async fn within<T>(
    what: &'static str,
    scenario: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let ended = timeout(SCENARIO_WITHIN, scenario).await;
    ended.map_err(|_| Error::Deadline {
        what,
        within: SCENARIO_WITHIN,
    })?
}

/// Connections that answer a Ping and nothing else.
async fn idle(plan: &SoakPlan) -> Result<IdleReport, Error> {
    let members = members("idle", plan.idle, 0)?;
    let listed: String = members.iter().map(|member| member.listing(&[])).collect();
    let limits = limits(plan.idle);
    let hub = SoakHub::start(&plan.executable, &listed, &limits_text(&limits)).await?;
    let alone_bytes = hub.memory_peak_bytes()?;
    let peers = connect(dial(&hub, false), &members).await?;
    let mut tasks = JoinSet::new();
    for mut peer in peers {
        tasks.spawn(async move {
            loop {
                let frame = peer.next().await?;
                peer.handle(&frame).await?;
            }
        });
    }
    tokio::select! {
        () = tokio::time::sleep(plan.idle_for) => {}
        Some(ended) = tasks.join_next() => {
            let ended: Result<(), Error> = ended.map_err(Error::peer("a peer's task"))?;
            ended?;
        }
    }
    let load = Load {
        connections: plan.idle as u64,
        ..Load::default()
    };
    Ok(IdleReport {
        connections: hub.peers().await?,
        connections_wanted: plan.idle as u64,
        memory: Memory::of(&hub, alone_bytes, load.bound_bytes(&limits))?,
    })
}

/// Peers that never read what others send to them.
async fn deaf(plan: &SoakPlan) -> Result<DeafReport, Error> {
    let count = 2 * plan.pairs;
    let pairs = Pairs::new(plan.pairs)?;
    let deaf = members("deaf", count, count)?;
    let feeds: Vec<&PeerName> = deaf.iter().map(|member| &member.name).collect();
    let mut listed = pairs.listing(&feeds);
    listed.extend(deaf.iter().map(|member| member.listing(&[])));
    let limits = HubLimits {
        write_timeout_ms: u64::from(DEAF_TIMEOUT_MS),
        idle_timeout_ms: DEAF_TIMEOUT_MS,
        ..limits(2 * count)
    };
    let hub = SoakHub::start(&plan.executable, &listed, &limits_text(&limits)).await?;
    let alone_bytes = hub.memory_peak_bytes()?;

    let mut others = pairs.connect(&hub).await?;
    let mut never_read = connect(dial(&hub, true), &deaf).await?;
    for ((other, one), name) in others.iter_mut().zip(&mut never_read).zip(&feeds) {
        let feed = other.peer.open(name).await?;
        one.accept().await?;
        other.peer.far_end_is_there(&feed).await?;
        other.feed = Some(feed);
    }
    let meter = Meter::new();
    let mut others = Others::start(others, &meter);
    let window_bytes = others::fillable_bytes(limits.window_bytes) * count as u64;
    let mut fed_bytes = 0;
    loop {
        others.go_on(FED_AFTER).await?;
        let now_bytes = meter.fed_bytes();
        if now_bytes >= window_bytes && now_bytes == fed_bytes {
            break;
        }
        fed_bytes = now_bytes;
    }
    drop(meter.take());
    others.go_on(plan.each).await?;
    let latencies = meter.take();
    let load = Load {
        connections: 2 * count as u64,
        busy: 2 * count as u64,
        // Of each pair's own channel both, and the deaf end of each other one.
        channel_ends: 2 * count as u64,
    };
    Ok(DeafReport {
        never_read: count as u64,
        others: count as u64,
        connections: hub.peers().await?,
        fed_bytes,
        window_bytes,
        exchanged: latencies.len() as u64,
        exchanged_min: questions_min(plan, 1),
        p99_us: p99_us(latencies),
        memory: Memory::of(&hub, alone_bytes, load.bound_bytes(&limits))?,
    })
}

/// Strangers that knock while others exchange: first at a listener that only accepts and closes, then at the hub, and
/// so on.
async fn flooded(plan: &SoakPlan) -> Result<FloodReport, Error> {
    let count = 2 * plan.pairs;
    let pairs = Pairs::new(plan.pairs)?;
    let limits = limits(count);
    let hub = SoakHub::start(&plan.executable, &pairs.listing(&[]), &limits_text(&limits)).await?;
    let alone_bytes = hub.memory_peak_bytes()?;
    let others = pairs.connect(&hub).await?;
    let closer = Closer::start().await?;
    let meter = Meter::new();
    let mut others = Others::start(others, &meter);
    let (mut attempts, mut latencies) = ([0; 2], [Vec::new(), Vec::new()]);
    others.go_on(plan.each / 4).await?;
    for _ in 0..plan.floods {
        for (which, target) in [closer.address, hub.address].into_iter().enumerate() {
            drop(meter.take());
            let flood = flood::flood(target, plan.each);
            let (made, exchanged) = tokio::join!(flood, others.go_on(plan.each));
            exchanged?;
            attempts[which] += made?;
            latencies[which].extend(meter.take());
        }
    }
    let load = Load {
        connections: (count + limits.connections_per_address_max) as u64,
        busy: count as u64,
        channel_ends: count as u64,
    };
    let [closer_latencies, hub_latencies] = latencies;
    Ok(FloodReport {
        others: count as u64,
        connections: hub.peers().await?,
        attempts: attempts[1],
        attempts_closer: attempts[0],
        exchanged: hub_latencies.len() as u64,
        exchanged_min: questions_min(plan, plan.floods),
        p99_us: p99_us(hub_latencies),
        p99_closer_us: p99_us(closer_latencies),
        memory: Memory::of(&hub, alone_bytes, load.bound_bytes(&limits))?,
    })
}

/// Half of what the pairs ask in so many measurements: with less, they did not exchange.
fn questions_min(plan: &SoakPlan, measurements: usize) -> u64 {
    others::questions_in(plan.each) * (plan.pairs * measurements) as u64 / 2
}

/// The defaults, but for the number of connections.
fn limits(connections: usize) -> HubLimits {
    let defaults = HubLimits::default();
    HubLimits {
        // Beside its own ones, the flood shall find as many places as it may have.
        connections_max: defaults
            .connections_max
            .max(connections + defaults.connections_per_address_max),
        ..defaults
    }
}

fn limits_text(limits: &HubLimits) -> String {
    format!(
        "connections_max = {}\nwrite_timeout_ms = {}\nidle_timeout_ms = {}\n",
        limits.connections_max, limits.write_timeout_ms, limits.idle_timeout_ms
    )
}

/// `role/1`, `role/2`, ...; `from` members of other roles are there before.
fn members(role: &str, count: usize, from: usize) -> Result<Vec<Member>, Error> {
    (0..count)
        .map(|index| {
            let name = PeerName::new(role, &(index + 1).to_string());
            let name = name.map_err(Error::peer(role))?;
            Ok(Member::new(&name, from + index))
        })
        .collect()
}

fn dial(hub: &SoakHub, small_buffer: bool) -> Dial {
    Dial {
        hub: hub.address,
        authority: hub.authority,
        small_buffer,
    }
}

/// Connects all of them, in their order.
async fn connect(dial: Dial, members: &[Member]) -> Result<Vec<Peer>, Error> {
    stream::iter(members)
        .map(|member| Peer::connect(dial, member))
        .buffered(CONNECTING)
        .try_collect()
        .await
}

/// Members that exchange two by two.
struct Pairs {
    /// Those that ask.
    asking: Vec<Member>,
    /// Those that answer, in the same order.
    answering: Vec<Member>,
}

impl Pairs {
    fn new(pairs: usize) -> Result<Pairs, Error> {
        Ok(Pairs {
            asking: members("asks", pairs, 0)?,
            answering: members("answers", pairs, pairs)?,
        })
    }

    /// Their entries in the hub's list; each may also open a channel to the one of `feeds` in its place: those that ask
    /// first, then those that answer.
    fn listing(&self, feeds: &[&PeerName]) -> String {
        let mut listed = String::new();
        let partners = self.answering.iter().map(|member| Some(&member.name));
        let partners = partners.chain(std::iter::repeat(None));
        let members = self.asking.iter().chain(&self.answering);
        for (place, (member, partner)) in members.zip(partners).enumerate() {
            let feed = feeds.get(place).copied();
            let may_open: Vec<&PeerName> = partner.into_iter().chain(feed).collect();
            listed.push_str(&member.listing(&may_open));
        }
        listed
    }

    /// Connects them and opens a channel in each pair. Those that ask come first.
    async fn connect(&self, hub: &SoakHub) -> Result<Vec<Other>, Error> {
        let asking = connect(dial(hub, false), &self.asking).await?;
        let answering = connect(dial(hub, false), &self.answering).await?;
        let (mut askers, mut answerers) = (Vec::new(), Vec::new());
        let names = self.answering.iter().map(|member| &member.name);
        for (((mut asks, mut answers), name), place) in
            asking.into_iter().zip(answering).zip(names).zip(0_u32..)
        {
            let from_asker = asks.open(name).await?;
            let from_answerer = answers.accept().await?;
            asks.far_end_is_there(&from_asker).await?;
            askers.push(Other {
                peer: asks,
                exchange: from_asker,
                feed: None,
                // Not all at once.
                asks_after: Some(Duration::from_millis(u64::from(place) * 5)),
            });
            answerers.push(Other {
                peer: answers,
                exchange: from_answerer,
                feed: None,
                asks_after: None,
            });
        }
        askers.append(&mut answerers);
        Ok(askers)
    }
}
