use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::*;

fn by_name(metadata: &ObjectMeta, _: Option<&ConfigMap>) -> Option<String> {
    metadata.name.clone()
}

fn guard(data: Value) -> DeserializeGuard<ConfigMap> {
    let metadata = json!({"name": "wfe-1", "uid": "c-1"});
    serde_json::from_value(json!({"metadata": metadata, "data": data})).unwrap()
}

#[test]
fn an_object_that_cannot_be_read_is_there_and_its_end_is_heard() {
    let odd = || guard(json!("none"));
    for event in [watcher::Event::Apply(odd()), watcher::Event::InitApply(odd())] {
        let Some(Update::Unreadable { run, name, metadata }) = update(event, &by_name) else { panic!() };
        assert_eq!((run.as_str(), name.as_str(), metadata.uid.as_deref()), ("wfe-1", "wfe-1", Some("c-1")));
    }
    assert!(update(watcher::Event::Apply(odd()), &|_, object| object?.metadata.name.clone()).is_none());
    for guard in [odd(), guard(json!({}))] {
        let Some(Update::Gone { run, .. }) = update(watcher::Event::Delete(guard), &by_name) else {
            panic!()
        };
        assert_eq!(run, "wfe-1");
    }
}

#[test]
fn an_object_that_cannot_be_read_replaces_what_was_known_of_it_and_stays_while_it_is_listed() {
    let mut objects = Objects::<ConfigMap>::default();
    let mut hear = |event| objects.take_in(update(event, &by_name).unwrap());
    hear(watcher::Event::Apply(guard(json!({}))));
    let touched = HashSet::from(["wfe-1".to_owned()]);
    assert_eq!(hear(watcher::Event::Apply(guard(json!("none")))), touched);
    hear(watcher::Event::Init);
    hear(watcher::Event::InitApply(guard(json!("none"))));
    assert_eq!(hear(watcher::Event::InitDone), HashSet::new());
    assert_eq!((objects.of("wfe-1").count(), objects.unreadable("wfe-1").is_some()), (0, true));
    let mut hear = |event| objects.take_in(update(event, &by_name).unwrap());
    hear(watcher::Event::Init);
    assert_eq!(hear(watcher::Event::InitDone), touched);
    assert!(objects.unreadable("wfe-1").is_none() && objects.runs().is_empty());
}
