//! How many failed authentications one source address may have: a bucket of tokens for each source,
//! as many sources as fit a limit, and one bucket that the sources beyond it share.
//!
//! Values in, values out: the time is an argument, nothing is logged, nothing is answered. It never
//! hears of a token that was good, so it cannot shut out a gateway that shares its address with
//! somebody who guesses.

use core::net::IpAddr;
use std::collections::HashMap;

/// Milliseconds on a clock that does not go back.
type Millis = u64;

/// A source that goes on failing is told of in the log this often.
const LOG_EVERY: Millis = 60_000;

/// Looking for sources to forget reads all of them, so it is done this often at most.
const SWEEP_EVERY: Millis = 1_000;

/// What a source may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// This many failures at once.
    pub burst: u32,
    /// Then one more after each of these times.
    pub interval_ms: Millis,
    /// This many sources are kept apart.
    pub sources_max: usize,
}

impl Default for Limits {
    /// Somebody with a wrong token in a script sees a clear 401 for a while; 256 bits are not guessed
    /// at one try a second.
    fn default() -> Self {
        Self { burst: 20, interval_ms: 1_000, sources_max: 10_000 }
    }
}

/// What a failed try is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// That it is not authenticated.
    Unauthenticated,
    /// That it comes too often, and after how many seconds it may come again; at least 1.
    Later(u64),
}

/// What to do about one failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub tell: Tell,
    /// `Some`: write one log line, and say that this many tries before it had none.
    pub log: Option<u64>,
}

/// The failures of all sources.
#[derive(Debug)]
pub struct Failures {
    limits: Limits,
    sources: HashMap<Source, Bucket>,
    /// Of all sources for which there is no place.
    shared: Bucket,
    swept: Option<Millis>,
}

impl Failures {
    /// No failure yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, sources: HashMap::new(), shared: Bucket::default(), swept: None }
    }

    /// One more failed try from there.
    pub fn failed(&mut self, source: IpAddr, now: Millis) -> Verdict {
        let source = Source::of(source);
        if !self.sources.contains_key(&source) {
            self.make_room(now);
        }
        let room = self.sources.len() < self.limits.sources_max;
        let bucket = match self.sources.get_mut(&source) {
            Some(bucket) => bucket,
            None if room => self.sources.entry(source).or_default(),
            None => &mut self.shared,
        };
        Verdict { tell: bucket.take(&self.limits, now), log: bucket.log(now) }
    }

    /// Forgets the sources of which there is nothing left to remember.
    fn make_room(&mut self, now: Millis) {
        let recently = self.swept.is_some_and(|swept| now.saturating_sub(swept) < SWEEP_EVERY);
        if self.sources.len() < self.limits.sources_max || recently {
            return;
        }
        self.swept = Some(now);
        self.sources.retain(|_, bucket| !bucket.is_forgettable(now));
    }
}

/// Who counts as one: an IPv4 address, or an IPv6 network of the size that one customer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                Self::V6(u64::try_from(address.to_bits() >> 64).unwrap_or_default())
            }
        }
    }
}

/// One source's tries.
#[derive(Debug, Default)]
struct Bucket {
    /// When it will be full again. Each try moves it on by one interval, so one number is both the
    /// level and the time of the last try.
    full_at: Millis,
    /// When a log line may be written again.
    log_at: Millis,
    /// Tries since the last log line.
    silent: u64,
}

impl Bucket {
    fn take(&mut self, limits: &Limits, now: Millis) -> Tell {
        let before = u64::from(limits.burst).saturating_sub(1).saturating_mul(limits.interval_ms);
        let taken = self.full_at.saturating_sub(now);
        if taken > before {
            return Tell::Later(taken.saturating_sub(before).div_ceil(1_000).max(1));
        }
        self.full_at = self.full_at.max(now).saturating_add(limits.interval_ms);
        Tell::Unauthenticated
    }

    fn log(&mut self, now: Millis) -> Option<u64> {
        if now < self.log_at {
            self.silent = self.silent.saturating_add(1);
            return None;
        }
        self.log_at = now.saturating_add(LOG_EVERY);
        Some(core::mem::take(&mut self.silent))
    }

    fn is_forgettable(&self, now: Millis) -> bool {
        self.full_at <= now && self.log_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { burst: 3, interval_ms: 1_000, sources_max: 2 };

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Rows of: when, from where, seconds to wait (0: a plain 401), and what the log is told.
    fn check(rows: &[(Millis, &str, u64, Option<u64>)]) {
        let mut failures = Failures::new(LIMITS);
        for (row, (now, source, seconds, log)) in rows.iter().enumerate() {
            let tell = if *seconds == 0 { Tell::Unauthenticated } else { Tell::Later(*seconds) };
            let verdict = failures.failed(address(source), *now);
            assert_eq!(verdict, Verdict { tell, log: *log }, "row {row}: {source} at {now}");
            assert!(failures.sources.len() <= LIMITS.sources_max);
        }
    }

    #[test]
    fn a_burst_then_one_an_interval() {
        check(&[
            (5_000, "192.0.2.1", 0, Some(0)),
            (5_000, "192.0.2.1", 0, None),
            (5_000, "192.0.2.1", 0, None),
            (5_000, "192.0.2.1", 1, None),
            (5_999, "192.0.2.1", 1, None),
            (6_000, "192.0.2.1", 0, None),
            (6_000, "192.0.2.1", 1, None),
            // A refused try costs nothing: who comes back when told to is heard.
            (7_000, "192.0.2.1", 0, None),
            // After a long pause it is a burst again, and not more.
            (60_000, "192.0.2.1", 0, None),
            (60_000, "192.0.2.1", 0, None),
            (60_000, "192.0.2.1", 0, None),
            (60_000, "192.0.2.1", 1, None),
        ]);
    }

    #[test]
    fn the_log_hears_of_a_source_once_a_minute() {
        check(&[
            (0, "192.0.2.1", 0, Some(0)),
            (59_999, "192.0.2.1", 0, None),
            (60_000, "192.0.2.1", 0, Some(1)),
            (60_000, "192.0.2.2", 0, Some(0)),
            (119_999, "192.0.2.1", 0, None),
            (130_000, "192.0.2.1", 0, Some(1)),
        ]);
    }

    #[test]
    fn sources_are_apart_and_a_network_of_ipv6_is_one() {
        check(&[
            (0, "2001:db8::1", 0, Some(0)),
            (0, "2001:db8::2", 0, None),
            (0, "2001:db8::ffff:0:0:1", 0, None),
            (0, "2001:db8::3", 1, None),
            (0, "192.0.2.1", 0, Some(0)),
            // The same address, as a socket of both families shows it.
            (0, "::ffff:192.0.2.1", 0, None),
        ]);
    }

    #[test]
    fn beyond_the_limit_newcomers_share_until_there_is_something_to_forget() {
        check(&[
            (0, "192.0.2.1", 0, Some(0)),
            (0, "192.0.2.2", 0, Some(0)),
            (0, "192.0.2.3", 0, Some(0)),
            (0, "192.0.2.4", 0, None),
            (0, "192.0.2.5", 0, None),
            (0, "192.0.2.6", 1, None),
            // Who is known keeps a bucket of its own.
            (0, "192.0.2.1", 0, None),
            // A minute later the first two are forgotten, so one of the others gets a place.
            (60_000, "192.0.2.6", 0, Some(0)),
            (60_000, "192.0.2.7", 0, Some(0)),
            (60_000, "192.0.2.8", 0, Some(3)),
        ]);
    }

    #[test]
    fn a_clock_that_goes_back_and_the_ends_of_numbers_do_no_harm() {
        let mut failures = Failures::new(LIMITS);
        let source = address("192.0.2.1");
        for now in [u64::MAX, 0, u64::MAX, 1] {
            failures.failed(source, now);
        }
        let none = Limits { burst: 0, interval_ms: 0, sources_max: 0 };
        let verdict = Failures::new(none).failed(source, 0);
        assert_eq!(verdict, Verdict { tell: Tell::Unauthenticated, log: Some(0) });
    }
}
