//! What runs before a page's first command: `<!-- setting: demo -->` in the page.

use std::fs;

use anyhow::{Result, bail};
use mpgate_testbed::Stack;

use crate::elsewhere::Elsewhere;
use crate::senders::Senders;

/// What a page's reader has in front of them.
pub(crate) enum Setting {
    /// A checkout, with `mpgate`, `mpgate-collector` and `envoy` on PATH. The default.
    Checkout,
    /// `cargo xtask demo`, and the two variables that it prints.
    Demo(Box<Stack>),
    /// A checkout, and senders that post from the moment their secrets' files and the gateway on 8080
    /// are there. None of their events may be refused or lost.
    Senders(Senders),
}

impl Setting {
    /// Starts what the page names.
    pub(crate) fn of(page: &str, elsewhere: &mut Elsewhere) -> Result<Self> {
        let named = page.split("<!-- setting: ").nth(1).and_then(|rest| rest.split(" -->").next());
        match named {
            None => Ok(Self::Checkout),
            Some("demo") => {
                // Where the demo keeps its files, with its process's number.
                let files = elsewhere.directory().join("target/demo-4711");
                fs::create_dir_all(&files)?;
                let stack = Stack::builder().directory(&files).start()?;
                elsewhere.is_at(8080, stack.envoy.address().port());
                elsewhere.is_at(8081, stack.control.address().port());
                elsewhere.is_at(8082, stack.collector.address().port());
                elsewhere.is_at(9901, stack.envoy.admin().port());
                elsewhere.is_at(9902, stack.envoy.status_address().port());
                Ok(Self::Demo(Box::new(stack)))
            }
            Some("senders") => Ok(Self::Senders(Senders::start(elsewhere)?)),
            Some(other) => bail!("there is no setting '{other}'"),
        }
    }

    /// Looks, behind the last command, at what went on beside them.
    pub(crate) fn finish(self, elsewhere: &Elsewhere) -> Result<()> {
        match self {
            Self::Checkout | Self::Demo(_) => Ok(()),
            Self::Senders(senders) => senders.finish(elsewhere),
        }
    }

    /// What is set in the reader's shell.
    pub(crate) fn environment(&self, elsewhere: &Elsewhere) -> Vec<(String, String)> {
        let set = |name: &str, value: String| (name.to_owned(), value);
        match self {
            // Its defaults, as all addresses of the docs, are elsewhere.
            Self::Checkout | Self::Senders(_) => vec![
                set("MPGATE_LISTEN", elsewhere.moved("127.0.0.1:8430")),
                set("MPGATE_URL", elsewhere.moved("http://127.0.0.1:8430")),
            ],
            Self::Demo(stack) => vec![
                set("MPGATE_URL", format!("http://{}", stack.control.address())),
                set("MPGATE_TOKEN_FILE", stack.control.admin_token_file().display().to_string()),
            ],
        }
    }
}
