//! A whole Winze on this machine: hub, pool and mint as child processes on loopback, miners that solve real shares,
//! wallets that redeem real ecash, and a count of what came of it that trusts none of the processes.
//!
//! `winze demo` and the end-to-end tests are built on it. Start reading at [`Deployment`], then [`Crew`], then
//! [`Account`].
//!
//! ```no_run
//! # async fn story() -> Result<(), winze_testbed::TestbedError> {
//! use std::time::Duration;
//! use winze_testbed::{Crew, CrewPlan, Deployment, DeploymentPlan, Role};
//!
//! let mut deployment = Deployment::start(DeploymentPlan::new("target/debug/winze")).await?;
//! let mut crew = Crew::start(&deployment, CrewPlan { miners: 2, shares: Some(50), ..CrewPlan::default() }).await?;
//! crew.wait_for("20 accepted shares", Duration::from_secs(20), |account| account.shares_accepted() >= 20).await?;
//! deployment.kill_hard(Role::Hub)?;
//! deployment.restart(Role::Hub).await?;
//! crew.mined(Duration::from_secs(30)).await?;
//! let account = crew.settle(Duration::from_secs(30)).await?;
//! assert_eq!(account.problems(), []);
//! # Ok(())
//! # }
//! ```

pub mod account;
pub mod chaos;
pub mod configs;
pub mod crew;
pub mod deployment;
pub mod error;
mod folder;
pub mod http;
pub mod in_process;
pub mod legacy;
pub mod limits;
mod member;
pub mod metrics;
pub mod node;
pub mod process;
pub mod quotes;
pub mod soak;
pub mod tool;
pub mod wait;
pub mod wallet;

pub use account::{Account, Problem};
pub use chaos::{ChaosPlan, ChaosReport, Kills};
pub use crew::{Crew, CrewPlan, Site};
pub use deployment::{Deployment, DeploymentPlan, Health, Role};
pub use error::TestbedError;
pub use metrics::Metrics;
pub use node::{NodeAccess, RegtestNode};
pub use process::ChildProcess;
pub use quotes::{ListedQuote, ListedRefusal, ListedUnknown, QuoteList};
pub use wallet::Wallet;
