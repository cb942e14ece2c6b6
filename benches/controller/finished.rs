//! Jobs that have ended, as many as wanted: copies of one that really did, with all that it left.

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::names::{Component, LABEL_JOB_UID, child_name};
use batch_inference_operator::api::status::{CONTROLLER_FIELD_MANAGER, FEEDER_FIELD_MANAGER, patch};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};

use super::cluster::for_each;

/// What a finished job left: objects as JSON, of which names and uids are replaced in a copy.
struct Model {
    name: String,
    uid: String,
    job: BatchInferenceJob,
    children: Vec<(ApiResource, Value)>,
    feeder: Value,
    pod: Value,
}

/// Makes so many copies of the job of that name.
pub async fn make(client: &Client, namespace: &str, name: &str, copies: usize) {
    let model = read(client, namespace, name).await;
    let model = &model;
    for_each(0..copies, |number| {
        copy(client, namespace, model, format!("ended-{number}"))
    })
    .await;
}

async fn read(client: &Client, namespace: &str, name: &str) -> Model {
    let jobs: Api<BatchInferenceJob> = Api::namespaced(client.clone(), namespace);
    let job = jobs.get(name).await.unwrap();
    let uid = job.uid().unwrap();
    let (feeder, servers) = (child_name(name, Component::Feeder), child_name(name, Component::Server));
    let child = Child { client, namespace };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = pods
        .list(&ListParams::default().labels(&format!("{LABEL_JOB_UID}={uid}")))
        .await
        .unwrap()
        .items
        .remove(0);
    Model {
        name: name.to_owned(),
        children: vec![
            child.get::<ServiceAccount>(&feeder).await,
            child.get::<Role>(&feeder).await,
            child.get::<RoleBinding>(&feeder).await,
            child.get::<NetworkPolicy>(&servers).await,
            child.get::<Service>(&servers).await,
        ],
        feeder: child.get::<Job>(&feeder).await.1,
        pod: serde_json::to_value(pod).unwrap(),
        uid,
        job,
    }
}

struct Child<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Child<'_> {
    async fn get<K>(&self, name: &str) -> (ApiResource, Value)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), self.namespace, &resource);
        (resource, serde_json::to_value(api.get(name).await.unwrap()).unwrap())
    }
}

async fn copy(client: &Client, namespace: &str, model: &Model, name: String) {
    let jobs: Api<BatchInferenceJob> = Api::namespaced(client.clone(), namespace);
    let spec = serde_json::to_value(&model.job.spec).unwrap();
    let job = json!({"apiVersion": "batchinference.dev/v1alpha1", "kind": "BatchInferenceJob",
                     "metadata": {"name": name}, "spec": spec});
    let params = PatchParams::apply("kubectl").force();
    let job = jobs.patch(&name, &params, &Patch::Apply(job)).await.unwrap();
    let uid = job.uid().unwrap();
    let renamed = |value: &Value, owner: Option<&str>| {
        let text = value
            .to_string()
            .replace(&format!("\"{}", model.name), &format!("\"{name}"));
        let mut value: Value = serde_json::from_str(&text.replace(&model.uid, &uid)).unwrap();
        clean(&mut value, owner);
        value
    };
    for (resource, child) in &model.children {
        create(client, namespace, resource, renamed(child, None)).await;
    }
    let mut feeder = renamed(&model.feeder, None);
    // Nobody runs it anew.
    feeder["spec"]["managedBy"] = "bench.batchinference.dev/nobody".into();
    feeder["spec"].as_object_mut().unwrap().remove("selector");
    let template = feeder
        .pointer_mut("/spec/template/metadata/labels")
        .unwrap()
        .as_object_mut()
        .unwrap();
    template.retain(|label, _| !label.contains("controller-uid") && !label.contains("job-name"));
    let feeder = create(client, namespace, &ApiResource::erase::<Job>(&()), feeder).await;
    let mut pod = renamed(&model.pod, feeder.uid().as_deref());
    // It stays where it is: on no node.
    pod["spec"].as_object_mut().unwrap().remove("nodeName");
    pod["spec"]["schedulerName"] = "nobody".into();
    pod["metadata"].as_object_mut().unwrap().remove("finalizers");
    create(client, namespace, &ApiResource::erase::<Pod>(&()), pod).await;

    let status = model.job.status.as_ref().unwrap();
    apply_status(&jobs, &name, &uid, FEEDER_FIELD_MANAGER, &status.reported).await;
    apply_status(&jobs, &name, &uid, CONTROLLER_FIELD_MANAGER, &status.controller).await;
}

/// Drops what the API server fills in; `owner` takes the place of the owner's uid.
fn clean(value: &mut Value, owner: Option<&str>) {
    let metadata = value["metadata"].as_object_mut().unwrap();
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "generation",
        "generateName",
    ] {
        metadata.remove(field);
    }
    if let (Some(owner), Some(reference)) = (owner, metadata["ownerReferences"].get_mut(0)) {
        reference["uid"] = owner.into();
    }
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("clusterIPs");
    }
}

async fn create(client: &Client, namespace: &str, resource: &ApiResource, mut object: Value) -> DynamicObject {
    let status = object.as_object_mut().unwrap().remove("status");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let created = api.create(&PostParams::default(), &object).await.unwrap();
    if let Some(status) = status.filter(|_| ["Job", "Pod"].contains(&resource.kind.as_str())) {
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status(&created.name_any(), &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    created
}

async fn apply_status<S: Serialize>(jobs: &Api<BatchInferenceJob>, name: &str, uid: &str, manager: &str, status: &S) {
    let params = PatchParams::apply(manager).force();
    jobs.patch_status(name, &params, &Patch::Apply(patch(name, uid, None, status)))
        .await
        .unwrap();
}
