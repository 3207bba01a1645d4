//! Parts of lists.

/// Which part of a list is wanted: after the item with this ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The ordinal of the last item already seen; 0 for the first page.
    pub after: u64,
    /// How many at most.
    pub limit: u32,
    /// Deleted and revoked ones too.
    pub show_deleted: bool,
}

/// One part of a list, oldest first.
#[derive(Debug)]
pub struct Part<T> {
    /// The items, newest last.
    pub items: Vec<T>,
    /// Where the next part goes on, if there is one.
    pub next: Option<u64>,
}
