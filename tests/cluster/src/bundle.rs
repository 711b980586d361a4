//! Workflow bundles: Tekton's objects in a container image, one to a layer, from which its bundle
//! resolver takes them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    error::{Doing, Error, Result},
    image,
    registry::Part,
};

/// What Tekton accepts in one bundle.
const MOST: usize = 20;

/// What a workflow works on.
const TARGET: &str = "TARGET_RESOURCE";

/// A bundle to be.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    objects: Vec<Value>,
}

impl Bundle {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A Pipeline `workflow` of two tasks, `prepare` and `repair`, each of which runs the demo image
    /// `image`. Its parameters are those of the demo image; all but `TARGET_RESOURCE` go to
    /// `repair` alone and may be left out.
    #[must_use]
    pub fn demo(image: &str) -> Self {
        let parameter = |name: &str| {
            let mut parameter = json!({ "name": name, "type": "string" });
            if name != TARGET {
                parameter["default"] = "".into();
            }
            parameter
        };
        let task = |name: &str, parameters: &[&str]| {
            let given = |name: &&str| json!({ "name": name, "value": format!("$(params.{name})") });
            let given: Vec<Value> = parameters.iter().map(given).collect();
            let step = json!({ "name": "act", "image": image, "env": given });
            let declared: Vec<Value> = parameters.iter().map(|name| parameter(name)).collect();
            json!({ "name": name, "taskSpec": { "params": declared, "steps": [step] }, "params": given })
        };
        let all = [TARGET, "EXIT_CODE", "SLEEP_SECONDS", "ALLOCATE_MIB"];
        let mut repair = task("repair", &all);
        repair["runAfter"] = json!(["prepare"]);
        Self::new().object(json!({
            "apiVersion": "tekton.dev/v1",
            "kind": "Pipeline",
            "metadata": { "name": "workflow" },
            "spec": { "params": all.map(parameter), "tasks": [task("prepare", &[TARGET]), repair] },
        }))
    }

    /// Adds an object, such as a Pipeline or a Task.
    #[must_use]
    pub fn object(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    /// Its configuration and its layers, as a registry keeps them.
    pub(crate) fn parts(&self) -> Result<(Part, Vec<Part>)> {
        if self.objects.is_empty() || self.objects.len() > MOST {
            return Err(Error::Bundle(format!("it has 1 to {MOST} objects, not {}", self.objects.len())));
        }
        let layers = self.objects.iter().map(layer).collect::<Result<Vec<_>>>()?;
        let ids: Vec<String> = layers.iter().map(Part::digest).collect();
        let config = json!({
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": ids },
        });
        Ok((Part::config(&config.to_string()), layers))
    }
}

fn layer(object: &Value) -> Result<Part> {
    let text = |path: &str| {
        let missing = || Error::Bundle(format!("an object has no {path}: {object}"));
        object.pointer(path).and_then(Value::as_str).ok_or_else(missing)
    };
    let (name, kind, version) = (text("/metadata/name")?, text("/kind")?, text("/apiVersion")?);
    let annotations = [
        ("dev.tekton.image.name", name.to_owned()),
        ("dev.tekton.image.kind", kind.to_lowercase()),
        // Without the group.
        ("dev.tekton.image.apiVersion", version.rsplit('/').next().unwrap_or(version).to_owned()),
    ];
    let pack = || {
        let mut archive = tar::Builder::new(Vec::new());
        image::append(&mut archive, name, object.to_string().as_bytes(), 0o644)?;
        archive.into_inner()
    };
    let content = pack().doing(|| format!("pack {kind} {name}"))?;
    let annotations: BTreeMap<String, String> =
        annotations.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Ok(Part::layer(content).annotated(annotations))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn task(name: &str) -> Value {
        json!({ "apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": { "name": name } })
    }

    #[test]
    fn each_object_is_a_layer_that_says_what_it_is() {
        let (config, layers) = Bundle::new().object(task("stop")).object(task("start")).parts().unwrap();
        let config: Value = serde_json::from_slice(config.content()).unwrap();
        let digests: Vec<String> = layers.iter().map(Part::digest).collect();
        assert_eq!(config["rootfs"]["diff_ids"], json!(digests));

        let described = layers[1].describe();
        assert_eq!(described["mediaType"], "application/vnd.oci.image.layer.v1.tar");
        let said = |what: &str| described["annotations"][format!("dev.tekton.image.{what}")].clone();
        assert_eq!([said("name"), said("kind"), said("apiVersion")], ["start", "task", "v1"]);

        let mut archive = tar::Archive::new(layers[1].content());
        let mut text = String::new();
        archive.entries().unwrap().next().unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), task("start"));
    }

    #[test]
    fn the_demo_passes_what_it_is_given_to_its_second_task() {
        let bundle = Bundle::demo("registry/demo:1");
        let spec = &bundle.objects[0]["spec"];
        assert_eq!(spec["params"][1], json!({ "name": "EXIT_CODE", "type": "string", "default": "" }));
        let step = &spec["tasks"][1]["taskSpec"]["steps"][0];
        assert_eq!(step["env"][1], json!({ "name": "EXIT_CODE", "value": "$(params.EXIT_CODE)" }));
        assert_eq!(spec["tasks"][0]["params"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn what_tekton_would_not_read_is_no_bundle() {
        assert!(Bundle::new().parts().is_err());
        assert!(Bundle::new().object(json!({ "kind": "Task" })).parts().is_err());
        let many = (0..21).fold(Bundle::new(), |bundle, n| bundle.object(task(&n.to_string())));
        assert!(many.parts().is_err());
    }
}
