//! The inline list: change pages that the plugin configuration carries, to begin with or to run on
//! alone. They are what control's feed gives from the start, so the same checks hold for them.

use core::hash::{Hash, Hasher};
use std::hash::DefaultHasher;

use mpgate_contract::{Ask, Page, PageFault, limits};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::SettingsError;

/// The member `allowlist` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenInline<'a> {
    export_time: u64,
    #[serde(borrow)]
    pages: Vec<&'a RawValue>,
}

/// A list that came with the configuration, not believed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Inline {
    export_time: u64,
    pages: Vec<Box<str>>,
    fingerprint: u64,
}

/// What a checked list is, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlineFacts {
    /// Tells one list from another. It is no proof against forgery: who writes the configuration needs none.
    pub fingerprint: u64,
    /// When control wrote it, Unix seconds.
    pub export_time: u64,
    /// The epoch it is of.
    pub epoch: String,
    /// The revision it ends at.
    pub head: u64,
    /// Whether it holds anything, tombstones included.
    pub filled: bool,
}

impl Inline {
    pub(crate) fn read(written: WrittenInline<'_>) -> Result<Self, SettingsError> {
        let count = written.pages.len();
        if !(1..=limits::INLINE_PAGES_MAX).contains(&count) {
            return Err(SettingsError(format!(
                "allowlist.pages has {count} pages, but has to have 1 to {}",
                limits::INLINE_PAGES_MAX
            )));
        }
        let pages: Vec<Box<str>> =
            written.pages.into_iter().map(|page| page.get().into()).collect();
        // Without keys of its own, so that all VMs come to the same.
        let mut hasher = DefaultHasher::new();
        (written.export_time, &pages).hash(&mut hasher);
        let fingerprint = hasher.finish();
        Ok(Self { export_time: written.export_time, pages, fingerprint })
    }

    /// Tells one list from another.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// When control wrote it, Unix seconds.
    #[must_use]
    pub const fn export_time(&self) -> u64 {
        self.export_time
    }

    /// Checks every page as if control had sent it, and that they are one whole list.
    ///
    /// # Errors
    /// The first page that is at fault, and what is wrong with it.
    pub fn check(&self) -> Result<InlineFacts, SettingsError> {
        let (mut filled, mut head) = (false, 0);
        let asked = self.each_page(|page| {
            filled |= !page.is_empty();
            head = page.head;
        })?;
        if asked.since != head {
            let last = self.pages.len().saturating_sub(1);
            return Err(SettingsError(format!(
                "allowlist.pages[{last}] is the last one and ends at revision {}, but the list ends at {head}: export it again, whole",
                asked.since
            )));
        }
        let Self { export_time, fingerprint, .. } = *self;
        Ok(InlineFacts { fingerprint, export_time, epoch: asked.epoch, head, filled })
    }

    /// Hands over each page, checked against the one before; answers what would be asked next.
    pub(crate) fn each_page(&self, mut take: impl FnMut(&Page<'_>)) -> Result<Ask, SettingsError> {
        let mut ask = Ask::default();
        for (index, text) in self.pages.iter().enumerate() {
            let page =
                Page::parse(text.as_bytes(), &ask).map_err(|fault| at_fault(index, fault))?;
            if page.reset != (index == 0) {
                let must = if index == 0 {
                    "the first page, and has to"
                } else {
                    "not the first page, and must not"
                };
                return Err(SettingsError(format!(
                    "allowlist.pages[{index}] is {must} be a reset"
                )));
            }
            take(&page);
            ask = Ask { epoch: page.epoch.to_owned(), since: page.to };
        }
        Ok(ask)
    }
}

fn at_fault(index: usize, fault: PageFault) -> SettingsError {
    let (label, meaning) = (fault.label(), fault.meaning());
    SettingsError(format!("allowlist.pages[{index}]: {label}: {meaning}"))
}

#[cfg(test)]
mod tests {
    use crate::Settings;

    const KEY: &str = r#"{"revision":R,"digest":"ccdd35168ab474fa5764a526cfb83621351e23682c5075b2e18d56bddf96aa30","state":"active","grant":{"key_id":"000000000001","sender":"a","streams":["G-A"]}}"#;

    fn page(reset: bool, from: u64, to: u64, head: u64, keys: &str) -> String {
        format!(
            r#"{{"epoch":"e","reset":{reset},"from":{from},"to":{to},"head":{head},"keys":[{keys}],"streams":[]}}"#
        )
    }

    fn parse(pages: &[String]) -> Result<Settings, String> {
        let pages = pages.join(",");
        let text =
            format!(r#"{{"gate":"g","allowlist":{{"export_time":1700000000,"pages":[{pages}]}}}}"#);
        Settings::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_list_is_a_configuration() {
        let key = KEY.replace('R', "3");
        let pages = [page(true, 0, 3, 7, &key), page(false, 3, 7, 7, "")];
        let inline = parse(&pages).expect("good").inline.expect("a list");
        let facts = inline.check().expect("good");
        assert_eq!((&*facts.epoch, facts.head, facts.filled), ("e", 7, true));
        assert_eq!(facts.export_time, 1_700_000_000);
        let empty = parse(&[page(true, 0, 0, 0, "")]).expect("good").inline.expect("a list");
        assert!(!empty.check().expect("good").filled);
        // While control changed, a later page may know of a later end.
        assert!(parse(&[page(true, 0, 3, 5, ""), page(false, 3, 9, 9, "")]).is_ok());
        assert_ne!(empty.fingerprint(), inline.fingerprint());
        let again = parse(&pages).expect("good").inline.expect("a list");
        assert_eq!(again.fingerprint(), inline.fingerprint());
    }

    #[test]
    fn a_fault_names_its_page_and_itself() {
        let whole = || page(true, 0, 3, 7, "");
        let twice = format!("{},{}", KEY.replace('R', "5"), KEY.replace('R', "6"));
        for (pages, said) in [
            (vec![], "allowlist.pages has 0 pages"),
            (vec!["{}".to_owned()], "allowlist.pages[0]: unreadable: "),
            (vec![page(false, 0, 7, 7, "")], "allowlist.pages[0]: other_epoch: "),
            (vec![whole()], "allowlist.pages[0] is the last one and ends at revision 3"),
            (vec![whole(), page(true, 0, 7, 7, "")], "allowlist.pages[1] is not the first page"),
            (vec![whole(), page(false, 4, 7, 7, "")], "allowlist.pages[1]: other_start: "),
            (vec![whole(), page(false, 3, 2, 7, "")], "allowlist.pages[1]: backwards: "),
            (vec![whole(), page(false, 3, 7, 7, &twice)], "allowlist.pages[1]: repeated: "),
            (
                vec![whole(), page(false, 3, 7, 7, &KEY.replace('R', "3"))],
                "allowlist.pages[1]: outside_range: ",
            ),
            (
                vec![whole(), page(false, 3, 7, 7, "").replace(r#""e""#, r#""f""#)],
                "allowlist.pages[1]: other_epoch: ",
            ),
            (
                vec![page(true, 0, 7, 7, &KEY.replace('R', "7").replace("G-A", ""))],
                "allowlist.pages[0]: bad_entry: ",
            ),
        ] {
            let error = parse(&pages).err().unwrap_or_else(|| panic!("{said}: accepted"));
            assert!(error.contains(said), "{error} does not say {said}");
        }
        let many = vec![page(true, 0, 0, 0, ""); mpgate_contract::limits::INLINE_PAGES_MAX + 1];
        assert!(parse(&many).err().expect("too many").contains("1 to 20"));
    }
}
