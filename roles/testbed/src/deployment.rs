//! Hub, pool and mint as child processes on loopback, in a folder of their own; with Redis and a bridge where these are
//! wanted.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rand::RngCore;
use winze_redis::RedisConfig;
use winze_redis::testing::{RedisServer, Wanted};
use winze_runtime::{keyfile, ready};
use winze_transport::PublicKey;

use crate::configs::{self, Ports, RedisSettings, Settings};
use crate::error::TestbedError;
use crate::folder::Folder;
use crate::limits::{HEALTHY_WITHIN, READY_WITHIN, TERMINATE_WITHIN};
use crate::metrics::Metrics;
use crate::process::{ChildProcess, Launch};
use crate::{http, wait};

/// The unit of all quotes here.
const UNIT: &str = "hash";

/// What to deploy.
#[derive(Clone, Debug)]
pub struct DeploymentPlan {
    /// The `winze` binary.
    pub executable: PathBuf,
    /// Where everything goes; `None`: a temporary folder that is removed at the end.
    pub folder: Option<PathBuf>,
    /// Filter of the roles' logs, as `WINZE_LOG` takes it.
    pub log: String,
    /// What their configuration says.
    pub settings: Settings,
}

impl DeploymentPlan {
    /// A deployment in a temporary folder with templates built into the pool and shares that one thread finds several
    /// times a second.
    pub fn new(executable: impl Into<PathBuf>) -> DeploymentPlan {
        DeploymentPlan {
            executable: executable.into(),
            folder: None,
            log: "info".to_owned(),
            settings: Settings {
                minimum_zero_bits: 16,
                shares_per_minute: 600.0,
                quote_amount_max: 1 << 62,
                amount_per_hour_max: 1 << 62,
                amount_per_day_max: 1 << 62,
                node: None,
                coinbase_script: None,
                redis: None,
            },
        }
    }
}

/// One of our processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `winze hub`
    Hub,
    /// `winze mint`
    Mint,
    /// `winze pool`
    Pool,
    /// `winze bridge`
    Bridge,
}

impl Role {
    /// Those of every deployment, in the order in which they are started: each needs the address of the hub.
    pub const ALL: [Role; 3] = [Role::Hub, Role::Mint, Role::Pool];

    /// The subcommand, and the name of its files.
    pub fn name(self) -> &'static str {
        match self {
            Role::Hub => "hub",
            Role::Mint => "mint",
            Role::Pool => "pool",
            Role::Bridge => "bridge",
        }
    }

    /// What its ready line calls its main port. A bridge has none but the operator's.
    pub fn port_key(self) -> &'static str {
        match self {
            Role::Hub => "hub",
            Role::Mint => "api",
            Role::Pool => "mining",
            Role::Bridge => "http",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A role's answer to `GET /health`.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Status 200; any other means not ready.
    pub ready: bool,
    /// The body: what the role says is under its key `detail`.
    pub body: serde_json::Value,
}

/// A running deployment. Dropping it kills all processes, and then removes its folder if it is a temporary one.
pub struct Deployment {
    // Dropped in this order: the processes go before what they connect to and their folder.
    /// By `Role as usize`.
    slots: [Slot; 4],
    redis: Option<RedisServer>,
    pool_authority: PublicKey,
    folder: Folder,
    plan: DeploymentPlan,
}

#[derive(Debug, Default)]
struct Slot {
    ports: Ports,
    process: Option<ChildProcess>,
}

impl Deployment {
    /// Makes keys, starts the processes, and waits until each says that it can do its work.
    ///
    /// # Errors
    /// [`TestbedError`] with the end of the log of the process that failed.
    pub async fn start(plan: DeploymentPlan) -> Result<Deployment, TestbedError> {
        let mut deployment = Deployment::prepare(plan)?;
        for role in deployment.roles() {
            deployment.begin(role).await?;
        }
        deployment.healthy().await?;
        Ok(deployment)
    }

    /// Makes keys and starts Redis, where there is one. No role runs yet: see [`Self::begin`].
    ///
    /// # Errors
    /// [`TestbedError::Keys`]; [`TestbedError::Machine`], also where there is no `redis-server`.
    pub fn prepare(plan: DeploymentPlan) -> Result<Deployment, TestbedError> {
        let folder = Folder::open(plan.folder.as_deref())?;
        make_keys(&plan.executable, &folder.at("keys"))?;
        let pool_authority = keyfile::read_public(folder.at("keys/pool/authority.pub"))?;
        let redis = match &plan.settings.redis {
            None => None,
            Some(wanted) => Some(start_redis(&folder.at("redis"), wanted)?),
        };
        Ok(Deployment {
            slots: Default::default(),
            redis,
            pool_authority,
            folder,
            plan,
        })
    }

    /// Writes a role's configuration and starts it for the first time. The hub is the first: the others need its address.
    ///
    /// # Errors
    /// [`TestbedError`] with the end of its log.
    pub async fn begin(&mut self, role: Role) -> Result<(), TestbedError> {
        self.configure(role)?;
        self.run(role).await?;
        // Once more, with the ports that it got: a restart finds the same.
        self.configure(role)
    }

    /// The roles of this deployment, in the order in which they are started.
    pub fn roles(&self) -> Vec<Role> {
        let mut roles = vec![Role::Hub, Role::Mint];
        let redis = self.plan.settings.redis.as_ref();
        if redis.is_some_and(RedisSettings::has_bridge) {
            roles.push(Role::Bridge);
        }
        roles.push(Role::Pool);
        roles
    }

    /// Changes what the configuration files say. A role goes by them when it is started again, the hub also when it is
    /// hung up on.
    ///
    /// # Errors
    /// [`TestbedError::Machine`] where a file cannot be written.
    pub fn change(&mut self, change: impl FnOnce(&mut Settings)) -> Result<(), TestbedError> {
        change(&mut self.plan.settings);
        for role in self.roles() {
            if self.slot(role).ports.http.is_some() {
                self.configure(role)?;
            }
        }
        Ok(())
    }

    /// Waits until every running role says that it can do its work.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`] with what the last one that is not ready says; [`TestbedError::Ended`].
    pub async fn healthy(&mut self) -> Result<(), TestbedError> {
        for role in self.roles() {
            if self.slot(role).process.is_none() {
                continue;
            }
            let url = self.health_url(role);
            wait::until(
                &format!("readiness of the {role}"),
                HEALTHY_WITHIN,
                || async {
                    match ask_health(&url).await {
                        Ok(health) if health.ready => Ok(()),
                        Ok(health) => Err(health.body.to_string()),
                        Err(error) => Err(error.to_string()),
                    }
                },
            )
            .await?;
        }
        Ok(())
    }

    /// Ends a role as a crash would (SIGKILL).
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`] for a role that was ended before.
    pub fn kill_hard(&mut self, role: Role) -> Result<ExitStatus, TestbedError> {
        self.take(role)?.kill_hard()
    }

    /// Ends a role in good order (SIGTERM).
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`]; [`TestbedError::NotReady`] where it does not end in time.
    pub async fn terminate(&mut self, role: Role) -> Result<ExitStatus, TestbedError> {
        self.take(role)?.terminate(TERMINATE_WITHIN).await
    }

    /// Starts a role again on the same ports and files, and waits for its ready line. What still runs of it is killed.
    ///
    /// # Errors
    /// [`TestbedError`] with the end of its log; [`TestbedError::Moved`] where it listens elsewhere.
    pub async fn restart(&mut self, role: Role) -> Result<(), TestbedError> {
        self.slot_mut(role).process = None;
        self.run(role).await
    }

    /// Asks a role to read its configuration file again (SIGHUP). It does so in its own time.
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`] for a role that was ended before.
    pub fn hang_up(&mut self, role: Role) -> Result<(), TestbedError> {
        match &mut self.slot_mut(role).process {
            Some(process) => process.hang_up(),
            None => Err(not_running(role)),
        }
    }

    /// Ends all roles in good order, those that depend on others first.
    ///
    /// # Errors
    /// The first that did not end in good order, as in [`Self::terminate`]; the others are ended all the same.
    pub async fn stop(&mut self) -> Result<(), TestbedError> {
        let mut first_error = Ok(());
        for role in [Role::Pool, Role::Bridge, Role::Mint, Role::Hub] {
            if self.slot(role).process.is_some() {
                let ended = self.terminate(role).await.map(drop);
                first_error = first_error.and(ended);
            }
        }
        first_error
    }

    /// Ends Redis as a crash would.
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`] where there is none, or was ended before.
    pub fn kill_redis(&mut self) -> Result<(), TestbedError> {
        match &mut self.redis {
            Some(redis) if redis.id().is_some() => {
                redis.kill();
                Ok(())
            }
            _ => Err(no_redis()),
        }
    }

    /// Starts Redis again on the same port and files.
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`] where there is none; [`TestbedError::Machine`] where it does not start.
    pub fn restart_redis(&mut self) -> Result<(), TestbedError> {
        let redis = self.redis.as_mut().ok_or_else(no_redis)?;
        redis.kill();
        redis
            .start_again()
            .map_err(TestbedError::machine("redis-server"))
    }

    /// How to reach Redis; `None` where there is none.
    pub fn redis_config(&self) -> Option<RedisConfig> {
        self.redis.as_ref().map(RedisServer::config)
    }

    /// `redis://host:port`, for one without TLS and password.
    ///
    /// # Errors
    /// [`TestbedError::NotRunning`] where there is none.
    pub fn redis_url(&self) -> Result<String, TestbedError> {
        let redis = self.redis.as_ref().ok_or_else(no_redis)?;
        Ok(format!("redis://{}", redis.address()))
    }

    /// Whether a role is running.
    pub fn is_running(&mut self, role: Role) -> bool {
        let process = self.slot_mut(role).process.as_mut();
        process.is_some_and(ChildProcess::is_running)
    }

    /// What a role says about itself.
    ///
    /// # Errors
    /// [`TestbedError::Http`] where it does not answer.
    pub async fn health(&self, role: Role) -> Result<Health, TestbedError> {
        ask_health(&self.health_url(role)).await
    }

    /// What a role counts.
    ///
    /// # Errors
    /// [`TestbedError::Http`] where it does not answer.
    pub async fn metrics(&self, role: Role) -> Result<Metrics, TestbedError> {
        let answer = http::get(&format!("http://{}/metrics", self.http(role))).await?;
        if answer.status != 200 {
            return Err(TestbedError::Http {
                url: answer.url,
                problem: format!("status {}", answer.status),
            });
        }
        Ok(Metrics::parse(&answer.body))
    }

    /// Where peers connect to the hub.
    pub fn hub(&self) -> SocketAddr {
        self.main(Role::Hub)
    }

    /// Where miners connect to the pool.
    pub fn mining(&self) -> SocketAddr {
        self.main(Role::Pool)
    }

    /// The key that signed the pool's certificate: what a miner is configured with.
    pub fn pool_authority(&self) -> PublicKey {
        self.pool_authority
    }

    /// Where the pool lists quotes.
    pub fn pool_http(&self) -> SocketAddr {
        self.http(Role::Pool)
    }

    /// Where wallets reach the mint.
    pub fn mint_url(&self) -> String {
        format!("http://{}", self.main(Role::Mint))
    }

    /// The unit that shares are paid in.
    pub fn unit(&self) -> &'static str {
        UNIT
    }

    /// A share with so many leading zero bits is worth 1.
    pub fn minimum_zero_bits(&self) -> u32 {
        self.plan.settings.minimum_zero_bits
    }

    /// The operator's HTTP port of a role.
    pub fn http(&self, role: Role) -> SocketAddr {
        known(self.slot(role).ports.http)
    }

    /// The folder with configuration, keys, stores and logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A role's configuration file.
    pub fn config_file(&self, role: Role) -> PathBuf {
        self.folder.at(&format!("{role}.toml"))
    }

    /// What a role wrote to standard error, over all its runs.
    pub fn log_file(&self, role: Role) -> PathBuf {
        self.folder.at(&format!("{role}.log"))
    }

    /// What a role wrote to standard output, over all its runs.
    pub fn output_file(&self, role: Role) -> PathBuf {
        self.folder.at(&format!("{role}.out"))
    }

    /// Leaves the folder in place when this is dropped.
    pub fn keep_folder(&mut self) {
        self.folder.keep();
    }

    fn configure(&self, role: Role) -> Result<(), TestbedError> {
        let ports = &self.slot(role).ports;
        let settings = &self.plan.settings;
        let redis = self.redis_config();
        let text = match role {
            Role::Hub => configs::hub(ports, settings),
            Role::Mint => configs::mint(ports, self.hub(), settings, redis.as_ref()),
            Role::Pool => configs::pool(ports, self.hub(), settings, redis.as_ref()),
            Role::Bridge => {
                let redis = redis.ok_or_else(no_redis)?;
                configs::bridge(ports, self.hub(), settings, &redis)
            }
        };
        let file = self.config_file(role);
        std::fs::write(&file, text).map_err(TestbedError::machine(file.display().to_string()))
    }

    async fn run(&mut self, role: Role) -> Result<(), TestbedError> {
        let launch = Launch {
            name: format!("winze {role}"),
            executable: self.plan.executable.clone(),
            arguments: vec![
                role.name().to_owned(),
                "--config".to_owned(),
                self.config_file(role).display().to_string(),
                // So that none is left behind by whoever is killed.
                "--stop-at-end-of-input".to_owned(),
            ],
            environment: vec![("WINZE_LOG".to_owned(), self.plan.log.clone())],
            output_file: self.output_file(role),
            log_file: self.log_file(role),
        };
        let (process, ports) = start_role(launch, role).await?;
        let slot = self.slot_mut(role);
        for (wanted, found) in [(slot.ports.main, ports.main), (slot.ports.http, ports.http)] {
            if let (Some(wanted), Some(found)) = (wanted, found)
                && wanted != found
            {
                return Err(TestbedError::Moved {
                    name: process.name().to_owned(),
                    wanted,
                    found,
                });
            }
        }
        slot.ports = ports;
        slot.process = Some(process);
        Ok(())
    }

    fn health_url(&self, role: Role) -> String {
        format!("http://{}/health", self.http(role))
    }

    fn main(&self, role: Role) -> SocketAddr {
        known(self.slot(role).ports.main)
    }

    fn slot(&self, role: Role) -> &Slot {
        &self.slots[role as usize]
    }

    fn slot_mut(&mut self, role: Role) -> &mut Slot {
        &mut self.slots[role as usize]
    }

    fn take(&mut self, role: Role) -> Result<ChildProcess, TestbedError> {
        let process = self.slot_mut(role).process.take();
        process.ok_or_else(|| not_running(role))
    }
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment")
            .field("folder", &self.folder.path())
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

fn start_redis(folder: &Path, wanted: &RedisSettings) -> Result<RedisServer, TestbedError> {
    let password = wanted.password.then(|| {
        let mut password = [0; 24];
        rand::rngs::OsRng.fill_bytes(&mut password);
        hex::encode(password)
    });
    let wanted = Wanted {
        durable: wanted.durable,
        tls: wanted.tls,
        password,
    };
    RedisServer::start(folder, wanted).map_err(TestbedError::machine("Redis"))
}

fn no_redis() -> TestbedError {
    TestbedError::NotRunning {
        name: "redis-server".to_owned(),
    }
}

fn not_running(role: Role) -> TestbedError {
    TestbedError::NotRunning {
        name: format!("winze {role}"),
    }
}

/// Starts one role by its own configuration and waits for its ready line: the process, and where it listens.
///
/// # Errors
/// [`TestbedError`] with the end of its log; [`TestbedError::ReadyLine`] where the line lacks a port.
pub async fn start_role(launch: Launch, role: Role) -> Result<(ChildProcess, Ports), TestbedError> {
    let mut process = ChildProcess::start(launch)?;
    let line = process.line("ready", READY_WITHIN).await?;
    let port = |key| {
        ready::address(&line, key).ok_or_else(|| TestbedError::ReadyLine {
            name: process.name().to_owned(),
            line: line.clone(),
            key,
        })
    };
    let ports = Ports {
        main: Some(port(role.port_key())?),
        http: Some(port("http")?),
    };
    Ok((process, ports))
}

/// Makes every key of a deployment the way its operator would: `winze keys init`.
///
/// # Errors
/// [`TestbedError::Keys`] with what the command said.
pub fn make_keys(executable: &Path, folder: &Path) -> Result<(), TestbedError> {
    let output = Command::new(executable)
        .args(["keys", "init"])
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(TestbedError::machine(format!(
            "cannot start {}",
            executable.display()
        )))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(TestbedError::Keys(said));
    }
    Ok(())
}

async fn ask_health(url: &str) -> Result<Health, TestbedError> {
    let answer = http::get(url).await?;
    Ok(Health {
        ready: answer.status == 200,
        body: answer.json()?,
    })
}

/// Before a role runs nobody asks where it listens but its own configuration, and that asks for port 0.
fn known(address: Option<SocketAddr>) -> SocketAddr {
    address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)))
}
