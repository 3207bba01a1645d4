//! `mpgate top`: who sends at this moment, and how it goes.

mod board;
mod screen;

use core::iter;
use core::time::Duration;
use std::io::{self, IsTerminal as _};
use std::time::Instant;

use clap::Args;
use mpgate_contract::{ConsumerId, SenderName};
use tokio::signal::unix::{SignalKind, signal};

use self::board::{Board, Look};
use self::screen::Screen;
use super::CliError;
use super::output::{self, Format};
use super::session::Session;
use super::settings::Options;
use crate::model::Seconds;
use crate::time;

/// Between two looks: half of what passes between two reports of a gateway.
const PAUSE: Duration = Duration::from_secs(5);

const HOUR: Seconds = 60 * 60;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate top --consumer acme
  mpgate top --consumer acme --sender billing
  mpgate top --consumer acme --once

Gateways report every 10 s, and it is looked every 5 s: rates are the mean of half a minute, which their first line
says; at first, and with --once, of the time since the beginning of the hour before. DELAY, from an event to its gate,
is the mean since then. Yellow: some requests are refused; red: all are. Ctrl-C ends it. For programs there is
`mpgate usage --output json`.")]
pub(super) struct TopArgs {
    /// Whose senders
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
    /// Only this one
    #[arg(long, value_parser = SenderName::parse)]
    sender: Option<SenderName>,
    /// Print one table and end, as it is done where standard output is no terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(arguments: TopArgs) -> Result<(), CliError> {
    let session = Session::open(&arguments.options)?;
    if session.format == Format::Json {
        const RULE: &str = "top is for people; `mpgate usage --output json` is for programs";
        return Err(CliError::Usage(RULE.to_owned()));
    }
    let consumer = session.consumer(arguments.consumer.as_ref())?;
    let now = time::now();
    let hour_before = now.saturating_sub(HOUR);
    let start = hour_before.saturating_sub(hour_before.rem_euclid(HOUR));
    let watch = Watch {
        session: &session,
        consumer: consumer.as_str(),
        sender: arguments.sender.as_ref().map(SenderName::as_str),
        start,
        before: Duration::from_secs(u64::try_from(now.saturating_sub(start)).unwrap_or(0)),
        begun: Instant::now(),
    };
    let mut board = Board::new(watch.consumer, start);
    board.add(watch.look().await?);
    if arguments.once || !io::stdout().is_terminal() {
        return output::print(&board.text());
    }
    live(&watch, board).await
}

/// Draws until somebody ends it. What control does not answer is said on the screen, and asked again.
async fn live(watch: &Watch<'_>, mut board: Board) -> Result<(), CliError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut resized = signal(SignalKind::window_change())?;
    let screen = Screen::enter()?;
    let mut next = Box::pin(watch.next());
    loop {
        screen.draw(&board)?;
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = resized.recv() => (),
            look = &mut next => {
                match look {
                    Ok(look) => board.add(look),
                    Err(error) => board.is_stale(&error.to_string()),
                }
                next = Box::pin(watch.next());
            }
        }
    }
}

/// What is asked for.
struct Watch<'a> {
    session: &'a Session,
    consumer: &'a str,
    sender: Option<&'a str>,
    start: Seconds,
    /// From the start to when this program began.
    before: Duration,
    begun: Instant,
}

impl Watch<'_> {
    async fn next(&self) -> Result<Look, CliError> {
        tokio::time::sleep(PAUSE).await;
        self.look().await
    }

    async fn look(&self) -> Result<Look, CliError> {
        let client = &self.session.client;
        let of = format!("/v1/measurementConsumers/{}", self.consumer);
        let start = time::to_text(self.start);
        let mut query = vec![("startTime", start.as_str()), ("groupBy", "sender")];
        query.extend(self.sender.map(|sender| ("sender", sender)));
        let filter = self.sender.map(|sender| format!("sender = {sender}"));
        let usage = client.get(&format!("{of}:usage"), &query).await?;
        // Counted until that answer came: a later moment would make the rates smaller than they are.
        let at = self.before.saturating_add(self.begun.elapsed());
        // Those that are there, and those that are not and are sent with all the same.
        let tried = iter::once("advice:STILL_TRIED").chain(filter.as_deref());
        let tried = tried.collect::<Vec<_>>().join(" AND ");
        let present = filter.as_deref().map(|filter| ("filter", filter));
        let mut keys = Vec::new();
        for query in [
            present.into_iter().collect::<Vec<_>>(),
            vec![("showDeleted", "true"), ("filter", &tried)],
        ] {
            keys.push(client.list(&format!("{of}/apiKeys"), "apiKeys", &query).await?);
        }
        let gateways = client.get("/v1/gateways", &[]).await?;
        Ok(Look::of(at, time::now(), &usage, &keys, &gateways))
    }
}
