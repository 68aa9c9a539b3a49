//! The image of jobs that name none is the operator's default, which an upgrade of it changes.

use kube::api::ListParams;
use serde_json::{Value, json};

use crate::budget::Budget;
use crate::matrix::{drive, is_settled, stable};
use crate::world::World;

/// The images of the job's pods.
async fn images(world: &World) -> Vec<String> {
    let pods = world.api("", "v1", "Pod");
    let pods = pods.list(&ListParams::default()).await.expect("pods");
    let images = pods.iter().map(|pod| {
        let image = pod.data.pointer("/spec/containers/0/image");
        let image = image.and_then(Value::as_str);
        image.expect("an image").to_owned()
    });
    images.collect()
}

/// A JobManager takes no TaskManager of another program: with two images in one deployment the job
/// would never have its slots again.
#[tokio::test(flavor = "multi_thread")]
async fn pods_that_a_newer_operator_makes_again_are_of_the_image_of_their_deployment() {
    for lost in [&["x-t1-0"][..], &["x-j1-0", "x-t1-0"]] {
        let world = stable(&json!({})).await;
        for pod in lost {
            world.end_pod(pod).await;
        }
        let newer = world.operator_with_image(&Budget::unlimited(), "localhost/weir:2");
        let are_back = async |world: &World| {
            let pods = world.names("", "Pod").await;
            pods.len() == 2 && is_settled(world).await
        };
        drive(&world, &newer, "pods that are lost", are_back).await;
        let old = ["localhost/weir:1", "localhost/weir:1"];
        assert_eq!(images(&world).await, old, "{lost:?}");
        // Its next start is the newer operator's.
        world.edit(&json!({ "restartNonce": 1 })).await;
        let is_restarted = async |world: &World| {
            let handled = world.status().await.handled.restart;
            handled == Some(1) && is_settled(world).await
        };
        drive(&world, &newer, "a restart", is_restarted).await;
        let new = ["localhost/weir:2", "localhost/weir:2"];
        assert_eq!(images(&world).await, new, "{lost:?}");
    }
}

/// What an operator has made that did not write the image down yet.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_of_the_image_the_pods_that_are_there_tell_it() {
    let world = stable(&json!({})).await;
    let forgotten = json!({ "metadata": { "annotations": { "weir.dev/image": null } } });
    let maps = world.api("", "v1", "ConfigMap");
    let params = kube::api::PatchParams::default();
    let forgotten = kube::api::Patch::Merge(&forgotten);
    let patched = maps.patch("x-d1", &params, &forgotten).await;
    patched.expect("its metadata can be changed");
    world.end_pod("x-t1-0").await;
    let newer = world.operator_with_image(&Budget::unlimited(), "localhost/weir:2");
    let is_back = async |world: &World| world.names("", "Pod").await.len() == 2;
    drive(&world, &newer, "a pod that is lost", is_back).await;
    let old = ["localhost/weir:1", "localhost/weir:1"];
    assert_eq!(images(&world).await, old);
    let map = maps.get("x-d1").await.expect("it is there");
    let known = map.metadata.annotations.unwrap_or_default();
    let known = known.get("weir.dev/image").map(String::as_str);
    assert_eq!(known, Some("localhost/weir:1"), "and is written down");
}
