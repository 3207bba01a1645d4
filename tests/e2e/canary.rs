//! Where secrets may be, and that they are nowhere else. Each secret is a canary: requests take every
//! path, and then everything that a run leaves behind is searched for it.

mod paths;
mod places;
mod policies;
mod search;
