//! A way to kill a VM, for the tests of what happens then. It is compiled with the feature
//! `trap-for-tests` only, and a test looks that the release module has none of it.

/// What a page has to contain, anywhere.
const MARK: &[u8] = b"trap-for-tests";

/// Traps the VM that is about to read such a page.
pub(crate) fn spring(page: &[u8]) {
    let is_marked = page.windows(MARK.len()).any(|part| part == MARK);
    assert!(!is_marked, "a page has the mark of trap-for-tests");
}
