//! Two controls on one PostgreSQL, behind Envoy's own load balancing: they are killed, ended and frozen one by one,
//! while operators change and senders send.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mpgate_testbed::config::Site;
use mpgate_testbed::control::Place;
use mpgate_testbed::envoy::Run;
use mpgate_testbed::port::Lease;
use mpgate_testbed::postgres::Cluster;
use mpgate_testbed::replicas::balance;
use mpgate_testbed::stack::{CONSUMER, SHOP, purchase};
use mpgate_testbed::{
    Collector, Control, Envoy, EnvoyConfig, IssuedKey, Request, artifacts, http1, poll,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// For an operator that asks again, and for the gate's next question. A frozen replica may hold the lock for 10 s.
const SOON: Duration = Duration::from_secs(40);

const HTTP_OPTIONS: &str =
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Between two events of a sender.
const PACE: Duration = Duration::from_millis(50);

/// What happens to a replica.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Killed,
    Ended,
    Frozen,
}

/// Everything, and the way of operators through Envoy.
struct Fleet {
    envoy: Envoy,
    _collector: Collector,
    controls: [Control; 2],
    front: SocketAddr,
    billing: IssuedKey,
    _front: Lease,
    _server: Cluster,
    _directories: [TempDir; 3],
}

impl Fleet {
    fn start() -> Result<Self> {
        let server = Cluster::start(true)?;
        let url = server.database("control")?;
        let directories = [
            mpgate_testbed::directory()?,
            mpgate_testbed::directory()?,
            mpgate_testbed::directory()?,
        ];
        let [one, two, gateway] = directories.each_ref().map(TempDir::path);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let place = Place { database_url: Some(url), ..Place::default() };
        let first = Control::start_in(place.clone(), any, one)?;
        let admin_token = Some(first.admin_token().to_owned());
        let second = Control::start_in(Place { admin_token, ..place }, any, two)?;
        let controls = [first, second];
        let [first, _] = &controls;
        first.create_consumer(CONSUMER)?;
        first.create_stream(CONSUMER, SHOP, None, "none")?;
        let billing = first.create_key(CONSUMER, "billing", &[SHOP])?;
        let collector = Collector::start_at(any, gateway)?;

        let (lease, front) = (Lease::any()?, Lease::any()?);
        let mut config = EnvoyConfig::shipped("demo.yaml")?;
        let addresses = controls.each_ref().map(Control::address);
        config.add_cluster("controls", addresses[0])?;
        for cluster in ["mpgate_control", "controls"] {
            balance(&mut config, cluster, &addresses)?;
            // As envoy/production.yaml has it: a ping finds who is frozen, with a question held open.
            let keepalive = json!({"interval": "5s", "timeout": "2s"});
            let options = &mut config.cluster(cluster)?["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
            options["@type"] = HTTP_OPTIONS.into();
            options["explicit_http_config"] =
                json!({"http2_protocol_options": {"connection_keepalive": keepalive}});
        }
        config.set("/static_resources/listeners/-", operators(front.address()))?;
        let site = Site {
            listen: lease.address(),
            admin_port: 0,
            control: addresses[0],
            analytics: collector.address(),
            module: artifacts::module()?,
            gateway_token: first.create_gateway_token()?,
            tls: None,
        };
        let envoy = Envoy::start(config, &site, &Run::default(), lease, gateway)?;
        envoy.wait_for_revision(billing.revision)?;
        Ok(Self {
            envoy,
            _collector: collector,
            controls,
            front: front.address(),
            billing,
            _front: front,
            _server: server,
            _directories: directories,
        })
    }
}

/// A listener that leads to the replicas and adds nothing.
fn operators(address: SocketAddr) -> Value {
    let types = "type.googleapis.com/envoy.extensions.filters";
    let route = json!({"cluster": "controls", "timeout": "15s",
        "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 2}});
    json!({
        "name": "operators",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": address.port()}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": format!("{types}.network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": "operators",
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": route}]}]},
                "http_filters": [{"name": "envoy.filters.http.router",
                    "typed_config": {"@type": format!("{types}.http.router.v3.Router")}}],
            },
        }]}],
    })
}

/// One who changes things by way of the front, and asks again until it is acknowledged.
struct Operator<'a> {
    front: SocketAddr,
    token: &'a str,
    made: AtomicU64,
    /// How often it was told to come again.
    again: AtomicU64,
}

impl Operator<'_> {
    /// The same request with the same id, until it is acknowledged.
    fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let path = format!("{path}?requestId=00000000-0000-4000-8000-{number:012}");
        let bearer = format!("Bearer {}", self.token);
        let request = Request::new(method, &path).header("authorization", bearer);
        let request = body.map_or(request.clone(), |body| request.json(body));
        poll::until_ok("an acknowledgement", SOON, || {
            let answer = http1::send(self.front, &request)?;
            match answer.status {
                200 => Ok(Some(answer.json()?)),
                502..=504 => {
                    self.again.fetch_add(1, Ordering::Relaxed);
                    Ok(None)
                }
                status => bail!("{method} {path}: {status} {}", answer.text()),
            }
        })
    }

    fn create(&self) -> Result<Key> {
        let path = format!("/v1/measurementConsumers/{CONSUMER}/apiKeys");
        let body = json!({"sender": "till", "dataStreams": [SHOP]});
        let key = self.done("POST", &path, Some(&body))?;
        Ok(Key {
            name: key["name"].as_str().context("a name")?.to_owned(),
            // Shown once: where that answer was lost, nobody has it.
            secret: key["authenticationKey"].as_str().map(str::to_owned),
        })
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.done("DELETE", &format!("/v1/{}", key.name), None).map(drop)
    }
}

struct Key {
    name: String,
    secret: Option<String>,
}

/// What was acknowledged, and what senders see.
#[derive(Default)]
struct Seen {
    kept: Vec<Key>,
    deleted: Vec<Key>,
    /// From an acknowledgement until it was in force.
    slowest: Duration,
}

fn told(gate: SocketAddr, secret: &str) -> Result<(u16, String)> {
    let answer = http1::send(gate, &purchase(SHOP, secret))?;
    Ok((answer.status, answer.reason()))
}

/// Creates, uses and deletes keys until it is over; every third stays.
fn operate(
    operator: &Operator<'_>,
    gate: SocketAddr,
    seen: &Mutex<Seen>,
    over: &AtomicBool,
) -> Result<()> {
    let in_force = |secret: &str, expected: (u16, &str)| -> Result<Duration> {
        let acknowledged = Instant::now();
        poll::until_ok("a change to be in force", SOON, || {
            let told = told(gate, secret)?;
            Ok(((told.0, &*told.1) == expected).then_some(()))
        })?;
        Ok(acknowledged.elapsed())
    };
    for number in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let key = operator.create()?;
        let mut took = Duration::ZERO;
        if let Some(secret) = &key.secret {
            took = in_force(secret, (204, ""))?;
        }
        let is_kept = number % 3 == 0;
        if !is_kept {
            operator.delete(&key)?;
            if let Some(secret) = &key.secret {
                took = took.max(in_force(secret, (403, "revoked"))?);
            }
        }
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.slowest = seen.slowest.max(took);
        if is_kept { seen.kept.push(key) } else { seen.deleted.push(key) }
    }
    Ok(())
}

/// Genuine events, one by one, and all deleted keys in turn: each has one right answer, at all times. Slowly, as
/// the gate limits what an address may try in vain.
fn send(fleet: (SocketAddr, &str), seen: &Mutex<Seen>, over: &Receiver<()>) -> Result<u64> {
    let (gate, genuine) = fleet;
    let mut sent = 0;
    while over.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        let came = told(gate, genuine)?;
        ensure!(came == (204, String::new()), "a genuine event: {came:?}");
        let revoked = {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let count = seen.deleted.len().max(1);
            let next = seen.deleted.get(usize::try_from(sent)? % count);
            next.and_then(|key| key.secret.clone())
        };
        if let Some(secret) = revoked {
            let came = told(gate, &secret)?;
            ensure!(came == (403, "revoked".to_owned()), "a revoked key: {came:?}");
        }
        sent += 1;
    }
    Ok(sent)
}

impl Fleet {
    /// Something happens to one replica while the other goes on, and then it comes back.
    fn disturb(&mut self, victim: usize, fate: Fate, changes: impl Fn() -> usize) -> Result<()> {
        let control = self.controls.get_mut(victim).context("a replica")?;
        match fate {
            Fate::Killed => control.kill(),
            Fate::Ended => control.stop()?,
            Fate::Frozen => control.freeze(true),
        }
        let began = Instant::now();
        let what = format!("Envoy to leave a replica that was {fate:?}");
        self.wait_for_healthy(&what, 1)?;
        let before = changes();
        let flowing = || (changes() >= before + 5).then_some(());
        poll::until("changes without it", SOON, flowing).with_context(|| what)?;
        let control = self.controls.get_mut(victim).context("a replica")?;
        match fate {
            Fate::Frozen => control.freeze(false),
            Fate::Killed | Fate::Ended => control.restart()?,
        }
        self.wait_for_healthy("Envoy to take the replica up again", 2)?;
        let before = changes();
        let flowing = || (changes() >= before + 3).then_some(());
        poll::until("changes with both", SOON, flowing)?;
        eprintln!("{fate:?}: {:?}", began.elapsed());
        Ok(())
    }

    fn wait_for_healthy(&self, what: &str, count: u64) -> Result<()> {
        poll::until_ok(what, SOON, || {
            let healthy =
                |cluster: &str| self.envoy.stat(&format!("cluster.{cluster}.membership_healthy"));
            let all = [healthy("mpgate_control")?, healthy("controls")?];
            Ok((all == [count, count]).then_some(()))
        })
    }

    /// What one replica holds: the names of all keys and whether they are revoked, and every revision once.
    fn keys(&self, replica: usize) -> Result<BTreeSet<(String, bool)>> {
        let control = self.controls.get(replica).context("a replica")?;
        let (mut all, mut token, mut revisions) = (BTreeSet::new(), String::new(), BTreeSet::new());
        loop {
            let path = format!(
                "/v1/measurementConsumers/{CONSUMER}/apiKeys?showDeleted=true&pageSize=1000&pageToken={token}"
            );
            let page = control.call("GET", &path, None)?.json()?;
            for key in page["apiKeys"].as_array().context("a list")? {
                let name = key["name"].as_str().context("a name")?.to_owned();
                ensure!(revisions.insert(key["revision"].as_u64()), "a revision twice: {key}");
                ensure!(all.insert((name, key["state"] == "REVOKED")), "a key twice: {key}");
            }
            match page["nextPageToken"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut token),
                _ => return Ok(all),
            }
        }
    }
}

#[test]
fn replicas_go_one_by_one_and_nothing_acknowledged_is_lost() {
    let mut fleet = Fleet::start().expect("a fleet");
    let (gate, front) = (fleet.envoy.address(), fleet.front);
    let (genuine, token) =
        (fleet.billing.secret.clone(), fleet.controls[0].admin_token().to_owned());
    let (made, again) = (AtomicU64::new(0), AtomicU64::new(0));
    let operator = Operator { front, token: &token, made, again };
    let (seen, over) = (Mutex::new(Seen::default()), AtomicBool::new(false));
    let count = || {
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.kept.len() + seen.deleted.len()
    };
    let (disturbed, operated, sent) = thread::scope(|scope| {
        let operating = scope.spawn(|| operate(&operator, gate, &seen, &over));
        let (end, ended) = channel();
        let sending = scope.spawn(|| send((gate, &genuine), &seen, &{ ended }));
        let fates = [(0, Fate::Killed), (1, Fate::Killed), (0, Fate::Ended), (1, Fate::Frozen)];
        let disturbed =
            fates.into_iter().try_for_each(|(victim, fate)| fleet.disturb(victim, fate, count));
        over.store(true, Ordering::Relaxed);
        drop(end);
        (disturbed, operating.join().expect("a thread"), sending.join().expect("a thread"))
    });
    let again = operator.again.load(Ordering::Relaxed);
    operated.expect("an operator");
    let sent = sent.expect("senders");
    disturbed.expect("replicas that go and come");
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprintln!(
        "{} keys kept, {} deleted, {again} answers 'come again', {sent} genuine events; the slowest change was in force after {:?}",
        seen.kept.len(),
        seen.deleted.len(),
        seen.slowest
    );

    // What was acknowledged is there, and nothing else: a request that was asked twice was done once.
    let mut expected: BTreeSet<_> = seen.kept.iter().map(|key| (key.name.clone(), false)).collect();
    expected.extend(seen.deleted.iter().map(|key| (key.name.clone(), true)));
    expected.insert((fleet.billing.name.clone(), false));
    for replica in 0..2 {
        assert_eq!(fleet.keys(replica).expect("keys"), expected, "replica {replica}");
    }
    for (keys, answer) in [(&seen.kept, (204, "")), (&seen.deleted, (403, "revoked"))] {
        for secret in keys.iter().filter_map(|key| key.secret.as_ref()) {
            let told = told(gate, secret).expect("an answer");
            assert_eq!((told.0, &*told.1), answer);
        }
    }
}
