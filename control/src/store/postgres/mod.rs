//! The store in PostgreSQL, which several replicas of control share.
//!
//! Who writes holds the lock of one row, the list's head, from the beginning: revisions are in the order of
//! commits, over all replicas, and no check of a transaction is overtaken. Who reads has one snapshot.

mod audit;
mod consumers;
mod failure;
mod feed;
mod gateways;
mod keys;
mod lineage;
mod listen;
mod migrate;
mod principals;
mod reconciliations;
mod session;
mod streams;
mod usage;

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, Postgres};
use sqlx::{Connection as _, Transaction};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::session::Session;
use super::{
    OpenError, Read, Standing, Store, StoreError, Stored, Write, announce, new_epoch, row,
};

pub(super) use failure::passes;

/// Readers side by side, for each replica. A read takes a few milliseconds; long polls hold none.
const READERS: u32 = 8;

/// How long a request waits for the writer or a reader before it is told to come again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer of the server is waited for. The server itself gives up earlier.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

/// A connection that was idle for this long is tried before it is used.
const TRIED_AFTER: Duration = Duration::from_secs(1);

/// How long that may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);

/// Where commits that moved the head are told of.
const CHANNEL: &str = "mpgate_head";

/// What each connection is set to. A replica that stops in the middle of a transaction, frozen or cut off,
/// holds the lock no longer than it may idle. Whoever turned `synchronous_commit` off did not mean this.
const SESSION: &str =
    "SET search_path = mpgate; SET statement_timeout = '10s'; SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = error;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') = 'off';";

/// The store. Clones share it.
#[derive(Clone)]
pub struct PostgresStore {
    writer: PgPool,
    readers: PgPool,
    listener: PgPool,
    head: watch::Sender<Standing>,
    health: Arc<Health>,
}

/// What is known of the server.
#[derive(Default)]
struct Health {
    /// Connections from before this moment may lead to a server that has gone.
    suspected: Mutex<Option<Instant>>,
    /// The database was brought to a later version than this program's.
    is_outdated: AtomicBool,
}

impl Health {
    fn suspect(&self) {
        *self.suspected.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_suspect(&self, age: Duration) -> bool {
        let suspected = *self.suspected.lock().unwrap_or_else(PoisonError::into_inner);
        suspected.is_some_and(|since| since.elapsed() <= age)
    }

    /// Waits for the server, but not for ever, and remembers what its failure says of the connection.
    async fn within<T>(&self, asked: impl Future<Output = Stored<T>>) -> Stored<T> {
        let done = timeout(ANSWER_TIMEOUT, asked).await.unwrap_or_else(|_| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(StoreError::Unavailable(sqlx::Error::Io(late)))
        });
        if let Err(StoreError::Unavailable(error) | StoreError::Uncertain(error)) = &done
            && failure::is_of_the_connection(error)
        {
            self.suspect();
        }
        done
    }

    fn expect_version(&self, version: i32) -> Stored<()> {
        let is_outdated = version > migrate::version();
        self.is_outdated.store(is_outdated, Ordering::Relaxed);
        self.expect_current()
    }

    fn expect_current(&self) -> Stored<()> {
        if !self.is_outdated.load(Ordering::Relaxed) {
            return Ok(());
        }
        let what = "a newer mpgate has changed the database; run that version here too";
        Err(StoreError::Unavailable(sqlx::Error::Protocol(what.to_owned())))
    }
}

impl PostgresStore {
    /// Connects, and makes or migrates the schema `mpgate` where needed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: &PgConnectOptions) -> Result<Self, OpenError> {
        let health = Arc::new(Health::default());
        let options = options.clone().application_name("mpgate");
        let pool = |connections| pool(connections, &health).connect_lazy_with(options.clone());
        let (writer, readers, listener) = (pool(1), pool(READERS), pool(1));
        migrate::migrate(&writer).await?;
        let head = watch::Sender::new(Standing::default());
        let store = Self { writer, readers, listener, head, health };
        store.look().await.map_err(|error| match error {
            StoreError::Unavailable(error) | StoreError::Uncertain(error) => error.into(),
            StoreError::Broken(error) => OpenError::Inconsistent(error.to_string()),
        })?;
        tokio::spawn(listen::listen(store.clone()));
        Ok(store)
    }

    /// Reads where the list stands, and tells who waits.
    async fn look(&self) -> Stored<()> {
        let known = self.head.borrow().clone();
        let asked = async {
            let mut transaction = self.readers.begin_with(READ).await?;
            Stored::Ok(lineage::look(&mut transaction).await?)
        };
        let found = self.health.within(asked).await?;
        self.health.expect_version(found.version)?;
        if found.is_astray(&known) {
            // The writer begins the new epoch.
            return self.write().await?.commit().await;
        }
        announce(&self.head, found.standing);
        Ok(())
    }

    /// The writer's transaction, with the lock.
    async fn locked(&self) -> Stored<Session> {
        let known = self.head.borrow().clone();
        let asked = async {
            self.health.expect_current()?;
            let mut transaction = self.writer.begin().await?;
            sqlx::query("SELECT 1 FROM mpgate.allowlist FOR UPDATE")
                .execute(&mut *transaction)
                .await?;
            // Later statements see what was committed before the lock was given.
            let mut session = self.session(transaction);
            session.keep_line(&known).await?;
            Ok(session)
        };
        self.health.within(asked).await
    }

    fn session(&self, transaction: Transaction<'static, Postgres>) -> Session {
        Session::new(transaction, self.head.clone(), Arc::clone(&self.health))
    }
}

/// One snapshot, from the first statement on.
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

#[async_trait]
impl Store for PostgresStore {
    async fn read(&self) -> Stored<Box<dyn Read>> {
        let asked = async {
            self.health.expect_current()?;
            Ok(self.readers.begin_with(READ).await?)
        };
        Ok(Box::new(self.session(self.health.within(asked).await?)))
    }

    async fn write(&self) -> Stored<Box<dyn Write>> {
        Ok(Box::new(self.locked().await?))
    }

    fn watch_head(&self) -> watch::Receiver<Standing> {
        self.head.subscribe()
    }

    async fn close(&self) {
        self.listener.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn pool(connections: u32, health: &Arc<Health>) -> PgPoolOptions {
    let health = Arc::clone(health);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move { sqlx::raw_sql(SESSION).execute(connection).await.map(drop) })
        })
        .before_acquire(move |connection, about| {
            let is_suspect = health.is_suspect(about.age);
            Box::pin(async move {
                if is_suspect || about.idle_for < TRIED_AFTER {
                    return Ok(!is_suspect);
                }
                Ok(timeout(TRY_TIMEOUT, connection.ping()).await.is_ok_and(|tried| tried.is_ok()))
            })
        })
        // What is left of a transaction ends here; a server that is silent does not hold its place.
        .after_release(|connection, _| {
            Box::pin(async move {
                Ok(timeout(TRY_TIMEOUT, connection.ping()).await.is_ok_and(|tried| tried.is_ok()))
            })
        })
}

/// A number for PostgreSQL, which has no unsigned ones.
fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(row::broken)
}
