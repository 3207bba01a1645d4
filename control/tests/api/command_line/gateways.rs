//! Which gateways are waited for; `mpgate gateways forget`: several at once, as far as they may be.

use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, Upstream};
use serde_json::json;

use super::life::{Site, id};
use super::run;

#[test]
fn gateways_are_forgotten_until_one_may_not_be() {
    let control = Upstream::start(|asked| match asked.path().as_str() {
        path if path.ends_with("alive") => Answer::json(
            400,
            &json!({"title": "FAILED_PRECONDITION", "detail": "it is alive", "status": 400}),
        ),
        path => Answer::json(200, &json!({"name": path.trim_start_matches("/v1/")})),
    });
    let control = control.expect("a control");
    let url = format!("http://{}", control.address());
    let environment = [("MPGATE_URL", url.as_str()), ("MPGATE_TOKEN", "mpt_a")];

    let ended = run(&environment, "gateways forget a b gateways/c --output json");
    assert_eq!(ended.code, Some(0), "{}", ended.error);
    let told: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
    let names = json!([{"name": "gateways/a"}, {"name": "gateways/b"}, {"name": "gateways/c"}]);
    assert_eq!(told["gateways"], names);

    let ended = run(&environment, "gateways forget d alive e");
    assert_eq!(ended.code, Some(1));
    assert!(ended.error.contains("it is alive"), "{}", ended.error);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("d "), "{}", ended.out);

    let id = "--request-id 01890a5d-ac96-774b-bcce-b302099a8057";
    let ended = run(&environment, &format!("gateways forget f g {id}"));
    assert!(ended.code == Some(2) && ended.error.contains("name one"), "{}", ended.error);

    let paths: Vec<String> = control.received().iter().map(Received::path).collect();
    let asked = ["a", "b", "c", "d", "alive"].map(|name| format!("/v1/gateways/{name}"));
    assert_eq!(paths, asked);
}

/// Two gates of one Envoy, with one token and a list each: the one that asked last does not speak for the other.
#[tokio::test]
async fn each_gate_of_an_envoy_is_waited_for() {
    let site = Site::new();
    let token = site.json("principals create edge-1 --role gateway --show-secret")["token"].clone();
    let token = token.as_str().expect("a token");
    let key = site.key("crm", "--nickname x");
    let head = key["revision"].as_u64().expect("a revision");
    let (front, back) = (("00000000000000a1", "front"), ("00000000000000a1", "back"));
    site.ask(token, back, head - 1).await;
    site.ask(token, front, head).await;

    // It changes nothing, so it is in force where the key is.
    let line = format!("keys update {} --nickname x --wait 0 --strict", id(&key));
    let ended = site.run(&line);
    assert_eq!(ended.code, Some(3), "{}{}", ended.out, ended.error);
    for words in
        ["in force on 1 of 2 gateways", "behind are gateways/edge-1.00000000000000a1.back;"]
    {
        assert!(ended.error.contains(words), "{words}: {}", ended.error);
    }
    let list = site.done("gateways list");
    assert!(list.lines().count() == 3 && list.contains("a1.front "), "{list}");

    site.ask(token, back, head).await;
    let both = site.done(&line);
    assert!(both.contains("in force on 2 of 2 gateways"), "{both}");
}
