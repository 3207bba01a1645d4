//! Builds change pages: merges keys and streams by revision, cuts them at a number of entries and of
//! bytes, and writes them with the contract's own type.
//!
//! No database and no clock: a feed comes in, a page's bytes go out.

use mpgate_contract::{KeyEntry, Page, StreamEntry, limits};
use serde_json::value::RawValue;

use crate::service::Feed;

/// The largest JSON of an entry around its grant or stream: names, digest, state and revision.
const ENTRY_FRAME_BYTES: usize = 192;

/// The largest JSON of a page around its entries.
const PAGE_FRAME_BYTES: usize = 512;

/// One entry's place in the order of the page.
struct Candidate {
    revision: u64,
    bytes: usize,
}

/// Writes the page for `feed` with at most `entries_max` entries.
///
/// # Errors
/// A stored grant or stream is not JSON.
pub(crate) fn page(feed: &Feed, entries_max: usize) -> Result<Vec<u8>, serde_json::Error> {
    page_within(feed, entries_max, limits::PAGE_BYTES_MAX)
}

fn page_within(
    feed: &Feed,
    entries_max: usize,
    bytes_max: usize,
) -> Result<Vec<u8>, serde_json::Error> {
    let grants = feed
        .rows
        .keys
        .iter()
        .map(|key| RawValue::from_string(key.grant_json.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let streams = feed
        .rows
        .streams
        .iter()
        .map(|stream| RawValue::from_string(stream.stream_json.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut candidates: Vec<_> =
        feed.rows.keys.iter().zip(&grants).map(|(key, raw)| candidate(key.revision, raw)).collect();
    candidates.extend(
        feed.rows.streams.iter().zip(&streams).map(|(record, raw)| candidate(record.revision, raw)),
    );
    candidates.sort_unstable_by_key(|entry| entry.revision);

    let to = last_included(&candidates, entries_max, bytes_max).unwrap_or(feed.standing.head);
    let page = Page {
        epoch: &feed.standing.epoch,
        reset: feed.reset,
        from: feed.from,
        to,
        head: feed.standing.head,
        keys: feed
            .rows
            .keys
            .iter()
            .zip(&grants)
            .filter(|(key, _)| key.revision <= to)
            .map(|(key, grant)| KeyEntry {
                revision: key.revision,
                digest: key.digest,
                state: key.state,
                grant,
            })
            .collect(),
        streams: feed
            .rows
            .streams
            .iter()
            .zip(&streams)
            .filter(|(record, _)| record.revision <= to)
            .map(|(record, stream)| StreamEntry {
                revision: record.revision,
                state: record.state,
                stream,
            })
            .collect(),
    };
    serde_json::to_vec(&page)
}

fn candidate(revision: u64, raw: &RawValue) -> Candidate {
    Candidate { revision, bytes: raw.get().len() + ENTRY_FRAME_BYTES }
}

/// The revision to cut at, or `None` when everything fits. The store was asked for one entry more of
/// each kind than fits, so "everything" is really everything.
fn last_included(candidates: &[Candidate], entries_max: usize, bytes_max: usize) -> Option<u64> {
    let mut bytes = PAGE_FRAME_BYTES;
    for (included, entry) in candidates.iter().enumerate() {
        bytes += entry.bytes;
        // The first entry always goes: a feed that stands still would be worse than a large page,
        // and one entry is far below the limit.
        if included == entries_max || (included > 0 && bytes > bytes_max) {
            return candidates.get(included.checked_sub(1)?).map(|last| last.revision);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use mpgate_contract::{Ask, Digest, State};

    use super::*;
    use crate::store::{FeedKey, FeedRows, Standing};

    fn feed(keys: u64) -> Feed {
        Feed {
            standing: Standing { epoch: "e".to_owned(), head: keys },
            from: 0,
            reset: true,
            rows: FeedRows { keys: (1..=keys).map(largest).collect(), streams: vec![] },
        }
    }

    fn largest(revision: u64) -> FeedKey {
        FeedKey {
            revision,
            digest: Digest::of(&revision.to_be_bytes()),
            state: State::Active,
            grant_json: format!(
                r#"{{"key_id":"000000000001","sender":"a","streams":["G-A"],"x":"{}"}}"#,
                "y".repeat(limits::GRANT_BYTES_MAX - 80)
            ),
        }
    }

    #[test]
    fn the_largest_entries_are_cut_below_the_limit_of_a_page() {
        let body = page(&feed(1_000), limits::PAGE_ENTRIES_MAX).expect("a page");
        assert!(body.len() <= limits::PAGE_BYTES_MAX);
        let page = Page::parse(&body, &Ask::default()).expect("a page that a gate reads");
        assert!(page.to < page.head && page.keys.len() > 400, "{} of {}", page.to, page.head);
        assert_eq!(page.keys.last().map(|key| key.revision), Some(page.to));
    }

    #[test]
    fn the_estimate_is_never_below_the_truth() {
        for keys in [0, 1, 2, 50] {
            let feed = feed(keys);
            let estimate = PAGE_FRAME_BYTES
                + feed
                    .rows
                    .keys
                    .iter()
                    .map(|key| key.grant_json.len() + ENTRY_FRAME_BYTES)
                    .sum::<usize>();
            assert!(page(&feed, 1_000).expect("a page").len() <= estimate);
        }
    }

    #[test]
    fn one_entry_goes_even_if_it_is_over_the_limit() {
        let body = page_within(&feed(3), 10, 1).expect("a page");
        let page = Page::parse(&body, &Ask::default()).expect("a page that a gate reads");
        assert_eq!((page.to, page.keys.len()), (1, 1));
    }
}
