//! The course of the move: starts and ends processes stage by stage, and counts at the end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};
use winze_messages::text::header_hash_to_text;
use winze_redis::Intake;
use winze_runtime::keyfile;
use winze_testbed::deployment::make_keys;
use winze_testbed::legacy::{LegacyMint, LegacyMintPlan, LegacyPool, LegacyPoolPlan};
use winze_testbed::{Account, Crew, CrewPlan, Site, TestbedError, quotes};

use super::super::error::DemoError;
use super::super::report::{Asked, Outcome};
use super::super::view::View;
use super::configs::{self, MINIMUM_ZERO_BITS, Places, QuotePath};
use super::redis::{Server, machine};
use super::report::{Left, MoveOutcome, picture, sentence};
use super::roles::Roles;
use super::stages::{Seen, Stage, Standing, Watch};
use super::tally::{Quotes, Tally};

/// Requests a second of the old pool: a pool of some size, and far less than either mint takes.
const PUSHED_PER_SECOND: u32 = 100;
/// Of each miner; see the other demonstration.
const HASHES_PER_SECOND_MAX: u32 = 400_000;
/// How often processes and counters are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the list may take to run empty, the last keys to appear, and the last quotes to be redeemed.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// How long a reader waits for the mint's writer.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// In the list's second name, which only a taker uses: this one takes nothing and asks for lengths alone.
const LOOKER: &str = "demo";

/// A run.
pub(super) struct Course {
    // Dropped in this order: miners, the old ones, the roles, Redis, and what lies on the disk.
    crew: Option<Crew>,
    old_pool: LegacyPool,
    old_mint: LegacyMint,
    roles: Roles,
    redis: Server,
    lists: Intake,
    folder: TempDir,
    places: Places,
    asked: Asked,
    begun: Instant,
}

impl Course {
    /// Starts Redis, the old mint and the old pool.
    ///
    /// # Errors
    /// [`DemoError`]; without Redis [`DemoError::NoRedisServer`].
    pub(super) async fn start(asked: Asked, view: &mut View) -> Result<Course, DemoError> {
        let executable = std::env::current_exe().map_err(DemoError::Executable)?;
        let folder = tempfile::Builder::new()
            .prefix("winze-")
            .tempdir()
            .map_err(machine("cannot make a temporary folder"))?;
        let redis = Server::start(&executable, folder.path()).await?;
        view.say(&format!(
            "Redis listens on {}; files in {}",
            redis.address(),
            folder.path().display()
        ));
        make_keys(&executable, &folder.path().join("keys"))?;
        let url = format!("redis://{}", redis.address());
        let store = folder.path().join("old-mint.sqlite");
        let old_mint = LegacyMint::start(LegacyMintPlan::new(&url, store))?;
        let old_pool = LegacyPool::start(LegacyPoolPlan {
            shares_per_second: PUSHED_PER_SECOND,
            ..LegacyPoolPlan::new(&url)
        })?;
        let (client, names) = redis.open()?;
        let lists = Intake::new(
            &client,
            &names.requests_list,
            &names.dead_letters_list,
            LOOKER,
        );
        Ok(Course {
            crew: None,
            old_pool,
            old_mint,
            roles: Roles::new(&executable, folder.path()),
            places: Places {
                redis: redis.address(),
                hub: None,
            },
            redis,
            lists,
            folder,
            asked,
            begun: Instant::now(),
        })
    }

    /// Moves over, stage by stage, and counts.
    pub(super) async fn run(&mut self, view: &mut View) -> MoveOutcome {
        let mut failures = Vec::new();
        for stage in Stage::ALL {
            if let Err(error) = self.pass(stage, view).await {
                failures.push(error);
                break;
            }
        }
        let went_well = failures.is_empty();
        let (mut tally, mut left, mut held) = (Tally::default(), Left::default(), 0);
        let mut account = Account::new(MINIMUM_ZERO_BITS);
        if went_well {
            view.say("everything is counted");
            match self.count().await {
                Ok(counted) => (tally, left) = counted,
                Err(error) => failures.push(error),
            }
        }
        if let Some(crew) = &self.crew {
            account = crew.account();
            for wallet in crew.wallets() {
                match wallet.balance().await {
                    Ok(balance) => held += balance,
                    Err(error) => failures.push(error.into()),
                }
            }
        }
        let miners = Outcome::new(&account, self.asked, held, None, &failures);
        MoveOutcome::new(miners, &tally, left, self.begun.elapsed())
    }

    /// One stage: the step that it begins with, and what comes of it.
    async fn pass(&mut self, stage: Stage, view: &mut View) -> Result<(), DemoError> {
        view.say(stage.title());
        let before = self.look().await?;
        self.step(stage).await?;
        let mut watch = Watch::begin(stage, self.asked.shares, before, self.begun.elapsed());
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.check(stage)?;
            let seen = self.look().await?;
            view.show_as(
                |columns| picture(&seen, self.asked, columns),
                || sentence(&seen),
            );
            match watch.look(&seen, self.begun.elapsed()) {
                Standing::Done => break,
                Standing::GoesOn => {}
                Standing::Halted => {
                    return Err(DemoError::Halted {
                        stage: stage.title(),
                        state: sentence(&seen),
                    });
                }
            }
        }
        view.say(&sentence(&self.look().await?));
        Ok(())
    }

    async fn step(&mut self, stage: Stage) -> Result<(), DemoError> {
        match stage {
            Stage::OldAlone => {}
            Stage::MintAway => {
                self.roles.start("hub", &configs::hub()).await?;
                self.places.hub = Some(self.roles.port("hub", "hub")?);
                self.roles
                    .start("mint", &configs::mint(&self.places))
                    .await?;
                self.old_mint.stop().await?;
            }
            Stage::Bridged => {
                self.roles
                    .start("bridge", &configs::bridge(&self.places))
                    .await?
            }
            Stage::BothPools => {
                let config = configs::pool(&self.places, QuotePath::Both, None);
                self.roles.start("pool", &config).await?;
                self.crew = Some(self.begin_mining().await?);
            }
            Stage::BothPaths => self.old_pool.stop().await?,
            Stage::HubAlone => {
                let ports = (
                    self.roles.port("pool", "mining")?,
                    self.roles.port("pool", "http")?,
                );
                self.roles.end("pool").await?;
                let config = configs::pool(&self.places, QuotePath::Sv2, Some(ports));
                self.roles.start("pool", &config).await?;
                self.nothing_waits_in_redis().await?;
                self.roles.end("bridge").await?;
            }
        }
        Ok(())
    }

    async fn begin_mining(&self) -> Result<Crew, DemoError> {
        let authority = self.folder.path().join("keys/pool/authority.pub");
        let site = Site {
            mining: self.roles.port("pool", "mining")?,
            pool_authority: keyfile::read_public(authority).map_err(TestbedError::from)?,
            pool_http: self.roles.port("pool", "http")?,
            mint_url: format!("http://{}", self.roles.port("mint", "api")?),
            unit: "hash".to_owned(),
            minimum_zero_bits: MINIMUM_ZERO_BITS,
        };
        let plan = CrewPlan {
            miners: usize::from(self.asked.miners),
            shares: Some(self.asked.shares),
            hash_rate_max: Some(HASHES_PER_SECOND_MAX),
            ..CrewPlan::default()
        };
        Ok(Crew::start(site, plan).await?)
    }

    /// Waits until the list is empty, the bridge has nothing left to ask or to tell, and the old pool has an id for each of
    /// its requests: then the bridge can go.
    async fn nothing_waits_in_redis(&mut self) -> Result<(), DemoError> {
        let give_up = Instant::now() + SETTLE_WITHIN;
        loop {
            let (in_list, _) = self.lists.lengths().await?;
            let (pushed, answered) = (
                self.old_pool.pushed_count(),
                self.old_pool.answered_count()?,
            );
            let metrics = self.roles.metrics("bridge").await?;
            let of_bridge = |what| metrics.sum(&format!("winze_bridge_{what}"), &[]);
            let in_bridge = of_bridge("quotes_waiting").zip(of_bridge("answers_untold"));
            if in_list == 0 && in_bridge == Some((0.0, 0.0)) && answered >= pushed {
                return Ok(());
            }
            if Instant::now() >= give_up {
                return Err(DemoError::Halted {
                    stage: "the list runs empty, and the old pool's last quotes are made",
                    state: format!(
                        "{in_list} in the list, in the bridge {in_bridge:?}, {answered} of {pushed} have a quote"
                    ),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&mut self) -> Result<Seen, DemoError> {
        let new_quotes = match self.places.hub {
            None => 0,
            Some(_) => {
                let metrics = self.roles.metrics("mint").await?;
                let issued = metrics.sum("winze_mint_quotes_issued_total", &[]);
                issued.unwrap_or_default() as u64
            }
        };
        let (in_list, _) = self.lists.lengths().await?;
        let account = self.crew.as_ref().map(Crew::account);
        let of = |count: fn(&Account) -> u64| account.as_ref().map_or(0, count);
        Ok(Seen {
            pushed: self.old_pool.pushed_count(),
            old_quotes: self.old_mint.made_count(),
            new_quotes,
            in_list,
            accepted: of(Account::shares_accepted),
            quoted: of(Account::quotes_issued),
        })
    }

    /// Whoever is to run runs.
    fn check(&mut self, stage: Stage) -> Result<(), DemoError> {
        if let Some(ended) = self.roles.ended() {
            return Err(ended);
        }
        if !self.redis.is_running() {
            return Err(DemoError::OldPoolEnded("Redis has ended".to_owned()));
        }
        match stage < Stage::BothPaths && !self.old_pool.is_running() {
            true => {
                let problem = self.old_pool.problem();
                Err(DemoError::OldPoolEnded(problem.unwrap_or_default()))
            }
            false => Ok(()),
        }
    }

    /// Waits until all is redeemed; then what both mints have in their stores, and what is left in Redis.
    async fn count(&mut self) -> Result<(Tally, Left), DemoError> {
        let mut tally = Tally {
            pushed: self.old_pool.pushed(),
            ..Tally::default()
        };
        if let Some(crew) = &mut self.crew {
            crew.settle(SETTLE_WITHIN).await?;
            let pool_http = self.roles.port("pool", "http")?;
            for wallet in crew.wallets() {
                let list = quotes::list(pool_http, wallet.locking_key(), 0).await?;
                let hashes = list
                    .quotes
                    .iter()
                    .map(|it| header_hash_to_text(&it.header_hash));
                tally.mined.extend(hashes);
            }
        }
        for (hash, quote) in self.old_mint.quotes()? {
            tally
                .old_quotes
                .entry(hash)
                .or_default()
                .push(quote.quote_id);
        }
        tally.new_quotes = quotes_of_mint(&self.folder.path().join("ecash.sqlite"))?;
        let (in_list, dead_letters) = self.lists.lengths().await?;
        let left = Left {
            in_list,
            dead_letters,
        };
        Ok((tally, left))
    }

    /// Leaves everything on the disk, and says where.
    pub(super) fn keep_folder(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// Ends all processes in good order.
    ///
    /// # Errors
    /// [`DemoError::Testbed`] where one had to be killed.
    pub(super) async fn end(self) -> Result<(), DemoError> {
        let Course {
            crew,
            old_pool,
            old_mint,
            mut roles,
            redis,
            folder,
            ..
        } = self;
        drop(crew);
        let roles_ended = roles.end_all().await;
        drop((old_pool, old_mint));
        let redis_ended = redis.end().await;
        drop(folder);
        roles_ended.and(redis_ended)
    }
}

/// Every quote in cdk's store, while the mint runs.
fn quotes_of_mint(file: &Path) -> Result<Quotes, DemoError> {
    let read = || {
        let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        store.busy_timeout(STORE_TIMEOUT)?;
        let mut all = store.prepare("SELECT request_lookup_id, id FROM mint_quote")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut quotes = Quotes::new();
        for row in rows {
            let (hash, id): (String, String) = row?;
            quotes.entry(hash).or_default().push(id);
        }
        Ok(quotes)
    };
    read().map_err(|source| DemoError::Store {
        file: file.display().to_string(),
        source,
    })
}
