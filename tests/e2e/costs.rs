//! What the module may cost: its size, and how long Envoy takes with it until the first request is answered.
//! The bounds stand beside those of the decision, in `tests/costs/bounds.json`.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mpgate_testbed::config::Site;
use mpgate_testbed::envoy::{Run, nowhere};
use mpgate_testbed::port::Lease;
use mpgate_testbed::{Envoy, EnvoyConfig, Request, artifacts};
use serde_json::Value;

/// Starts of each kind, in turns. The quickest tells what a start costs; the others what else the machine did.
const STARTS: usize = 5;

fn bound(name: &str) -> f64 {
    let bounds: Value =
        serde_json::from_str(include_str!("../costs/bounds.json")).expect("bounds.json");
    bounds[name].as_f64().expect(name)
}

#[test]
fn the_module_keeps_its_size() {
    let module = artifacts::module().expect("a module");
    #[expect(clippy::cast_precision_loss, reason = "a file of a few hundred kilobytes")]
    let bytes = fs::metadata(module).expect("its size").len() as f64;
    let bound = bound("module_bytes");
    println!("the module has {bytes} bytes of {bound}");
    assert!(bytes <= bound, "the module has {bytes} bytes, at most {bound} allowed");
    assert!(bytes > bound * 0.9, "the module has {bytes} bytes, {bound} allowed: lower the bound");
}

#[test]
fn a_cold_start_takes_little_longer_with_the_module() {
    let (mut with, mut without) = (Duration::MAX, Duration::MAX);
    for _ in 0..STARTS {
        without = without.min(start(false).expect("a start"));
        with = with.min(start(true).expect("a start"));
    }
    let (ratio, bound) = (with.as_secs_f64() / without.as_secs_f64(), bound("cold_start_ratio"));
    println!("until the first answer: {with:.0?} with the module, {without:.0?} without");
    assert!(ratio <= bound, "{with:.0?} with the module, {without:.0?} without: {ratio} > {bound}");
}

fn start(has_gate: bool) -> Result<Duration> {
    let directory = mpgate_testbed::directory()?;
    let mut config = EnvoyConfig::shipped("demo.yaml")?;
    if !has_gate {
        let listeners = config.document().pointer_mut("/static_resources/listeners");
        listeners.and_then(|all| all.as_array_mut()).context("no listeners")?.truncate(1);
        config.remove_http_filter("mpgate")?;
    }
    let lease = Lease::any()?;
    let (nobody, _held) = nowhere()?;
    let site = Site {
        listen: lease.address(),
        admin_port: 0,
        control: nobody,
        analytics: nobody,
        module: artifacts::module()?,
        gateway_token: "none".to_owned(),
        tls: None,
    };
    let run = Run { concurrency: 1, ..Run::default() };
    let began = Instant::now();
    let envoy = Envoy::start(config, &site, &run, lease, directory.path())?;
    let answer = envoy.send(&Request::post("/mp/collect"))?;
    let took = began.elapsed();
    // The gate has no list yet; without the gate the tripwire refuses.
    let expected = if has_gate { 503 } else { 403 };
    ensure!(answer.status == expected, "{}: {}", answer.status, answer.text());
    Ok(took)
}
