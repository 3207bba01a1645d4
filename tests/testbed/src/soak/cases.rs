//! The cases: what is done to the system.

mod control;
mod databases;
mod keys;
mod lists;
mod network;
mod pushes;
mod trap;

use super::Case;
use crate::discovery::Discovered::{Gate, Listener};

/// The rows of the table.
pub(super) const ALL: &[Case] = &[
    case("keys", "keys created, used, revoked, over and over", keys::over_and_over),
    case("epoch", "the list replaced: new epoch, same keys", lists::same_keys),
    case("other-list", "the list replaced: new epoch, other keys besides", lists::other_keys),
    Case {
        name: "lds-settings",
        what: "the gate's settings pushed by LDS",
        discovered: Some(Listener),
        is_deadly: false,
        play: pushes::settings,
    },
    Case {
        name: "ecds-settings",
        what: "the gate's settings pushed by ECDS",
        discovered: Some(Gate),
        is_deadly: false,
        play: pushes::settings,
    },
    Case {
        name: "lds-module",
        what: "the module replaced by LDS",
        discovered: Some(Listener),
        is_deadly: false,
        play: pushes::modules,
    },
    Case {
        name: "ecds-module",
        what: "the module replaced by ECDS",
        discovered: Some(Gate),
        is_deadly: false,
        play: pushes::modules,
    },
    Case {
        name: "trap",
        what: "the VM that polls made to trap",
        discovered: None,
        is_deadly: true,
        play: trap::poller,
    },
    case("control-stopped", "control stopped (SIGTERM) and started", control::stopped),
    case("control-killed", "control killed (SIGKILL) amid changes", control::killed),
    case("control-frozen", "control frozen: connected, and mute", control::frozen),
    case("control-restored", "a backup restored while control runs", databases::restored),
    case("control-copied-back", "an older database file put back", databases::put_back),
    case("control-emptied", "an empty database, then the good one again", databases::emptied),
    case("control-slow", "control slow: late and in drops", network::slow),
    case("control-garbage", "somebody else answers nonsense", network::garbage),
    case("clock-ahead", "control's clock a day ahead", control::clock_ahead),
    case("clock-behind", "control's clock a day behind", control::clock_behind),
    case("network-refused", "the way to control cut: refused", network::refused),
    case("network-silent", "the way to control cut: nothing arrives", network::silent),
    case("network-forgotten", "open connections to control forgotten", network::forgotten),
    case("network-reset", "the way to control cut: reset", network::reset),
];

const fn case(
    name: &'static str,
    what: &'static str,
    play: fn(&mut super::scene::Scene) -> anyhow::Result<()>,
) -> Case {
    Case { name, what, discovered: None, is_deadly: false, play }
}
