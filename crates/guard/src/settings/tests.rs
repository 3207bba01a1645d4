//! What a plugin configuration may say, and each known mistake.

use super::*;

#[test]
fn the_shortest_configuration() {
    let settings = Settings::parse(br#"{"gate":"g","control":{"cluster":"c"}}"#).expect("good");
    assert_eq!(settings.mode, Mode::Enforce);
    assert!(settings.unknown_paths == UnknownPaths::Refuse);
    assert!(!settings.keep_other_parameters && !settings.silent && settings.environment.is_none());
    assert_eq!(settings.protocol_rules, Mode::DryRun);
    assert!(settings.credentials == Credentials { query: true, ..Credentials::default() });
    assert_eq!(
        (settings.senders_max, settings.control.as_ref().map(|control| control.page_entries)),
        (1000, Some(250))
    );
    assert_eq!(
        (settings.max_staleness_seconds, settings.when_stale),
        (86_400, WhenStale::LastList)
    );
    assert_eq!(settings.filter_state, Told::EACH);
    assert!(!settings.ready && settings.serve == Serve::Gate && settings.inline.is_none());
    let control = settings.control.expect("a control");
    assert_eq!(control.authority, "c");
    assert_eq!((control.poll_interval_milliseconds, control.wait_seconds), (250, 25));
    assert!(control.pollers == Pollers::One);
}

#[test]
fn the_longest_configuration() {
    let settings = Settings::parse(
        br#"{"gate":"g-1","mode":"dry_run","unknown_paths":"pass","other_parameters":"keep","senders_max":5,
             "protocol_rules":"enforce","silent":true,"max_staleness_seconds":60,"when_stale":"deny","ready":true,"serve":"gate","filter_state":["trace_id","key"],
             "environment":"staging","credentials":["x-api-secret","authorization"],
             "control":{"cluster":"c","authority":"a","poll_interval_milliseconds":50,"wait_seconds":20,
                        "page_entries":1000,"pollers":"all"}}"#,
    )
    .expect("good");
    assert_eq!(settings.mode, Mode::DryRun);
    assert!(settings.unknown_paths == UnknownPaths::Pass && settings.keep_other_parameters);
    assert_eq!(settings.protocol_rules, Mode::Enforce);
    assert!(settings.silent && settings.environment == Some(Environment::Staging));
    let headers = Credentials { query: false, x_api_secret: true, authorization: true };
    assert!(settings.credentials == headers);
    assert_eq!((settings.max_staleness_seconds, settings.when_stale), (60, WhenStale::Deny));
    assert_eq!(settings.filter_state, [Told::TraceId, Told::Key]);
    assert!(settings.ready);
    let control = settings.control.expect("a control");
    assert!(control.pollers == Pollers::All && control.authority == "a");
    assert_eq!((control.wait_seconds, control.page_entries), (20, 1000));
}

/// `tests/bad_config`: one mistake a file; its first line says what the error has to name.
#[test]
fn every_known_mistake_is_refused_by_name() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad_config");
    let mut files = 0;
    for file in std::fs::read_dir(folder).expect("the folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let (named, config) = text.split_once('\n').expect("two lines");
        let error = Settings::parse(config.as_bytes())
            .err()
            .unwrap_or_else(|| panic!("{path:?} was accepted"));
        assert!(error.to_string().contains(named), "{path:?}: {error} does not say {named}");
        files += 1;
    }
    assert!(files >= 14, "only {files} files");
}
