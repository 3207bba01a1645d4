//! A change page is believed or refused by name; what is believed keeps the feed's promises.

use mpgate_contract::{Ask, Page, limits};

/// Checks what holds for any page.
///
/// # Panics
/// If it does not hold.
pub fn check(bytes: &[u8]) {
    for (epoch, since) in [("", 0), ("e1", 0), ("e1", 5)] {
        let ask = Ask { epoch: epoch.to_owned(), since };
        let page = match Page::parse(bytes, &ask) {
            Ok(page) => page,
            Err(fault) => {
                assert!(!fault.label().is_empty());
                continue;
            }
        };
        assert!(page.from <= page.to && page.to <= page.head);
        assert!(page.reset || (page.from == since && page.epoch == epoch));
        assert!(page.keys.len().saturating_add(page.streams.len()) <= limits::PAGE_ENTRIES_MAX);
        for key in &page.keys {
            assert!(key.revision > page.from && key.revision <= page.to);
            assert!(key.grant.get().len() <= limits::GRANT_BYTES_MAX);
        }
        // What is believed can be written and is believed again.
        let again = serde_json::to_vec(&page).expect("a page is JSON");
        assert!(Page::parse(&again, &ask).is_ok());
    }
}
