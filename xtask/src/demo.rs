//! `cargo xtask demo`: a gate on this machine, a tour of what it does, and then it stays.

use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mpgate_testbed::process::end_all;
use mpgate_testbed::stack::{Ports, SHOP, Stack};
use mpgate_testbed::toolchain;

use crate::build::{BUILD_STEPS, build, setup};
use crate::ports::{self, Wanted};
use crate::steps::Steps;
use crate::terminal::Terminal;
use crate::tour;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// End after the tour: with 0 only if each step was as told.
    #[arg(long)]
    once: bool,
    /// Envoy's listener; 0 takes a free port.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The control service.
    #[arg(long, default_value_t = 8081)]
    control_port: u16,
    /// The collector, the stand-in for the analytics endpoint.
    #[arg(long, default_value_t = 8082)]
    collector_port: u16,
    /// Envoy's admin listener.
    #[arg(long, default_value_t = 9901)]
    admin_port: u16,
}

/// The demo's files: database, tokens, logs. Gone when it ends, however it ends.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self> {
        let path = toolchain::target_directory().join(format!("demo-{}", process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed lies in the target directory.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) fn run(options: &Options, terminal: Terminal) -> Result<()> {
    let directory = Directory::new()?;
    let staying = end_on_ctrl_c(&directory)?;
    check_ports(options)?;

    let mut steps = Steps::new(terminal, 2 + BUILD_STEPS);
    setup(&mut steps)?;
    build(&mut steps)?;
    let stack = steps.step("control, collector and Envoy", || {
        let ports = Ports {
            listener: options.port,
            admin: options.admin_port,
            control: options.control_port,
            collector: options.collector_port,
        };
        Stack::builder().ports(ports).directory(&directory.0).start()
    })?;

    let as_told = tour::walk(&stack, terminal)?;
    if options.once {
        return if as_told { Ok(()) } else { bail!("not every step was as told") };
    }
    invite(&stack, terminal);
    staying.store(true, Ordering::SeqCst);
    stay(stack)
}

fn check_ports(options: &Options) -> Result<()> {
    ports::check(&[
        Wanted { port: options.port, whose: "Envoy", option: "--port" },
        Wanted {
            port: options.control_port,
            whose: "the control service",
            option: "--control-port",
        },
        Wanted { port: options.collector_port, whose: "the collector", option: "--collector-port" },
        Wanted {
            port: options.admin_port,
            whose: "Envoy's admin listener",
            option: "--admin-port",
        },
    ])
}

/// Ctrl-C, SIGTERM and a closed terminal end every process that was started and remove the files.
fn end_on_ctrl_c(directory: &Directory) -> Result<Arc<AtomicBool>> {
    let staying = Arc::new(AtomicBool::new(false));
    let (wanted, path) = (Arc::clone(&staying), directory.0.clone());
    ctrlc::set_handler(move || {
        end_all();
        std::fs::remove_dir_all(&path).ok();
        println!();
        // Ctrl-C is how the demo is meant to end; before that it is an interruption.
        process::exit(if wanted.load(Ordering::SeqCst) { 0 } else { 130 });
    })?;
    Ok(staying)
}

/// Until Ctrl-C, or until a part of it ends by itself.
fn stay(mut stack: Stack) -> Result<()> {
    // Nobody sends: this is a pause that has no end of its own.
    let (_open, silence) = mpsc::channel::<()>();
    loop {
        let _paused = silence.recv_timeout(Duration::from_secs(1));
        if let Some(status) = stack.envoy.process().exit_status()? {
            bail!("Envoy ended: {status}\n{}", stack.envoy.log());
        }
        if let Some(status) = stack.collector.process().exit_status()? {
            bail!("the collector ended: {status}");
        }
        if let Some(status) = stack.control.exit_status()? {
            bail!("the control service ended: {status}\n{}", stack.control.output());
        }
    }
}

fn invite(stack: &Stack, terminal: Terminal) {
    let gate = stack.envoy.address();
    println!("\n{}", terminal.strong("It stays up. Ctrl-C ends it and leaves nothing behind."));
    println!("  gate       http://{gate}/mp/collect");
    println!("  collector  http://{}/events", stack.collector.address());
    println!("  counters   http://{}/stats/prometheus", stack.envoy.admin());
    println!("  status     http://{}/mpgate/status", stack.envoy.status_address());
    println!("  control    http://{}/v1/measurementConsumers", stack.control.address());
    println!(
        "             export MPGATE_URL=http://{} MPGATE_TOKEN_FILE={}",
        stack.control.address(),
        stack.control.admin_token_file().display()
    );
    println!("\nSend an event yourself, and then change a character of the secret:\n");
    println!(
        "  curl -i 'http://{gate}/mp/collect?measurement_id={SHOP}&api_secret={}' \\\n    \
         -H 'content-type: application/json' -d '{{\"client_id\":\"1.2\",\"events\":[{{\"name\":\"purchase\"}}]}}'",
        stack.billing.secret
    );
}
