//! Servers that answer short, let nobody in, or fall silent.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::peer::Peer;
use super::support::{Rig, point};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_answer_costs_only_the_points_that_it_leaves_out_and_they_are_asked_for_again() {
    let metrics = ["a", "b", "c", "d", "e"];
    let node = |id: &&str| json!({ "id": id, "steps": [{ "type": "Double", "value": 1.0 }] });
    let nodes: Vec<_> = metrics.iter().map(node).collect();
    let plant = json!({ "nodes": nodes, "create_max": 3 });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let points: String = metrics.iter().map(|metric| point(metric, "type = \"float\"")).collect();
    let rig = Rig::start(&peer.url(), "", "", &points);
    let good = |rig: &Rig, metric: &str| rig.samples(metric).iter().any(|s| s.quality.is_good());
    rig.until("the first three", |rig| ["a", "b", "c"].iter().all(|m| good(rig, m))).await;
    rig.until("the others named", |rig| {
        rig.ever_shown()
            .iter()
            .any(|m| m.contains("`d`") && m.contains("says nothing of it; asked again; also `e`"))
    })
    .await;
    rig.until("all", |rig| metrics.iter().all(|m| good(rig, m)) && rig.shown().is_none()).await;
    assert_eq!(rig.faults(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_says_what_the_server_wants() {
    let node = json!({ "id": "a", "steps": [{ "type": "Double", "value": 1.0 }] });
    let plant = json!({ "nodes": [node], "user": "reader", "password": "secret" });
    let Some(mut peer) = Peer::start(&plant.to_string()).await else { return };
    let points = point("a", "type = \"float\"");
    let rig = Rig::start(&peer.url(), "", "", &points);
    rig.until("the refusal", |rig| !rig.faults().is_empty()).await;
    let fault = rig.faults().remove(0);
    assert_eq!(fault.code, "GW-O105");
    let says = |text: &str| assert!(fault.message.contains(text), "{fault:?}");
    says("wants a user and a password");
    says("set `user` and `password_file`");
    says("it takes: user and password");
    drop(rig);

    let folder = tempfile::tempdir().unwrap();
    let with = |password: &str| {
        let file = folder.path().join(password);
        std::fs::write(&file, password).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let keys = format!("user = \"reader\"\npassword_file = \"{}\"", file.display());
        Rig::start(&peer.url(), &keys, "", &points)
    };
    let rig = with("wrong");
    rig.until("the refusal", |rig| !rig.faults().is_empty()).await;
    let fault = rig.faults().remove(0);
    assert!(fault.message.contains("refuses user `reader`"), "{fault:?}");
    assert!(!fault.message.contains("wrong"), "{fault:?}");
    drop(rig);
    let rig = with("secret");
    rig.until("a value", |rig| rig.samples("a").iter().any(|s| s.quality.is_good())).await;
    // Its file is opened to others while it runs: the next login is refused here, and says why.
    let file = folder.path().join("secret");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    peer.kill().await;
    peer.start_again().await;
    rig.until("the file", |rig| rig.faults().iter().any(|fault| fault.code == "GW-O109")).await;
    let named = |fault: &driver::Fault| fault.message.contains("can be read by others");
    assert!(rig.faults().iter().any(named), "{:?}", rig.faults());
}

/// Connected, and yet nothing comes: the server answers each request and publishes nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_falls_silent_is_built_again_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mute = folder.path().join("mute");
    let steps =
        [json!({ "type": "Double", "value": 1.0 }), json!({ "type": "Double", "value": 2.0 })];
    let plant = json!({ "nodes": [{ "id": "a", "steps": steps }], "mute": mute });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let rig = Rig::start(&peer.url(), "", "", &point("a", "type = \"float\""));
    rig.until("values", |rig| rig.samples("a").len() > 3).await;
    std::fs::write(&mute, "").unwrap();
    rig.until("the silence", |rig| rig.faults().iter().any(|fault| fault.code == "GW-O107")).await;
    std::fs::remove_file(&mute).unwrap();
    let before = rig.samples("a").len();
    rig.until("values again", |rig| rig.samples("a").len() > before + 3).await;
    rig.until("what happened", |rig| rig.shown().is_some_and(|fault| fault.code == "GW-O131"))
        .await;
    assert!(rig.shown().unwrap().message.contains("the session was built again"));
    // What the server says again after that is stored once.
    let samples = rig.samples("a");
    let mut seen = HashSet::new();
    let good = samples.iter().filter(|sample| sample.quality.is_good());
    assert!(good.clone().all(|sample| seen.insert(sample.source_time)), "{samples:?}");
}
