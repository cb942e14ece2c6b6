//! What GitOps tools make of a job: Argo CD's health check and Flux's expressions are run over jobs of every phase,
//! and come to what `docs/gitops/README.md` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use batch_inference_operator::api::BatchInferenceJob;
use kube::Resource;
use kube_cel::cel;
use mlua::{IntoLua, Lua, LuaOptions, StdLib, Table};
use serde_json::{Value, json};

use jobs::{Case, Job, cases};

#[path = "gitops/jobs.rs"]
mod jobs;

const HEALTH_CHECK: &str = include_str!("../docs/gitops/argocd-health.lua");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a readable file")
}

fn read_yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).expect("one document of YAML")
}

fn is_seen(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// What kstatus says (cli-utils, `pkg/kstatus/status/generic.go`).
fn kstatus(object: &Value) -> &'static str {
    let conditions = object["status"]["conditions"].as_array();
    let holds = |kind: &str| {
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    if !is_seen(object) || holds("Reconciling") {
        "InProgress"
    } else if holds("Stalled") {
        "Failed"
    } else {
        "Current"
    }
}

/// A value as Argo CD gives it to Lua: every number is a double (argo-cd, `util/lua/lua.go`).
struct ForLua<'a>(&'a Value);

impl IntoLua for ForLua<'_> {
    fn into_lua(self, lua: &Lua) -> mlua::Result<mlua::Value> {
        match self.0 {
            Value::Null => Ok(mlua::Value::Nil),
            Value::Bool(value) => (*value).into_lua(lua),
            Value::Number(number) => number.as_f64().into_lua(lua),
            Value::String(text) => text.as_str().into_lua(lua),
            Value::Array(items) => {
                let items = items.iter().map(ForLua);
                Ok(mlua::Value::Table(lua.create_sequence_from(items)?))
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, field)| (name.as_str(), ForLua(field)));
                Ok(mlua::Value::Table(lua.create_table_from(fields)?))
            }
        }
    }
}

/// The status and the message that Argo CD shows. A library that it does not open is missing here too.
fn argo_cd(object: &Value) -> (String, String) {
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default()).expect("a Lua");
    lua.globals().set("obj", ForLua(object)).expect("a global");
    let health: mlua::Result<Table> = lua.load(HEALTH_CHECK).eval();
    let health = health.expect("a health check that returns a table");
    let status = health.get("status").expect("a status");
    (status, health.get("message").expect("a message"))
}

/// Flux's expressions that hold for an object.
fn holding(object: &Value) -> Vec<&'static str> {
    let kustomization = read_yaml("docs/gitops/flux-kustomization.yaml");
    let expressions = &kustomization["spec"]["healthCheckExprs"][0];
    assert_eq!(expressions["apiVersion"], *BatchInferenceJob::api_version(&()));
    assert_eq!(expressions["kind"], *BatchInferenceJob::kind(&()));
    let mut context = cel::Context::default();
    for (name, field) in object.as_object().expect("an object") {
        let field = cel::to_value(field).expect("a value of CEL");
        context.add_variable_from_value(name.as_str(), field);
    }
    let holds = |name: &str| {
        let expression = expressions[name].as_str().expect("an expression");
        let program = cel::Program::compile(expression).expect("an expression of CEL");
        program.execute(&context) == Ok(cel::Value::Bool(true))
    };
    let names = ["inProgress", "failed", "current"].into_iter();
    names.filter(|name| holds(name)).collect()
}

/// What Flux says. It compares generations before it looks at an expression (fluxcd/pkg,
/// `runtime/cel/status_evaluator.go`).
fn flux(object: &Value) -> &'static str {
    match holding(object).first() {
        Some(&"failed") if is_seen(object) => "Failed",
        Some(&"current") if is_seen(object) => "Current",
        _ => "InProgress",
    }
}

/// What the page says of each phase, for kstatus, for Argo CD and for Flux with the expressions.
fn rows(page: &str) -> BTreeMap<&str, [&str; 3]> {
    let rows = page.lines().filter_map(|line| {
        let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let cells: Vec<_> = row.split(" | ").collect();
        let [phase, kstatus, argo_cd, flux, _] = cells[..] else {
            return None;
        };
        let is_verdict = ["InProgress", "Current", "Failed"].contains(&kstatus);
        is_verdict.then(|| (phase.trim_matches('`'), [kstatus, argo_cd, flux]))
    });
    rows.collect()
}

#[test]
fn each_tool_judges_each_phase_as_the_page_says() {
    let page = read("docs/gitops/README.md");
    let rows = rows(&page);
    let mut judged = BTreeSet::new();
    for Case { row, object, .. } in cases() {
        let (health, _) = argo_cd(&object);
        let verdicts = [kstatus(&object), health.as_str(), flux(&object)];
        assert_eq!(rows.get(row.as_str()), Some(&verdicts), "{row}: {object}");
        judged.insert(row);
    }
    let on_the_page: BTreeSet<_> = rows.into_keys().map(str::to_owned).collect();
    assert_eq!(judged, on_the_page);
}

#[test]
fn argo_cd_shows_what_a_job_waits_for_or_how_it_ended() {
    for Case { row, object, message } in cases() {
        let (_, shown) = argo_cd(&object);
        assert!(shown.contains(message), "{row}: {shown}");
    }
}

#[test]
fn exactly_one_expression_of_flux_holds_at_every_phase() {
    for Case { row, object, .. } in cases() {
        let holding = holding(&object);
        assert_eq!(holding.len(), 1, "{row}: {holding:?}");
    }
}

#[test]
fn a_job_without_a_status_is_waited_for() {
    let mut object = Job::new().object();
    object.as_object_mut().expect("an object").remove("status");
    assert_eq!(argo_cd(&object).0, "Progressing");
    // Flux waits as well for as long as an expression cannot be evaluated.
    assert!(holding(&object).is_empty());
    object["status"] = json!({});
    assert_eq!(argo_cd(&object).0, "Progressing");
    assert_eq!(holding(&object), ["inProgress"]);
}

#[test]
fn the_config_map_has_the_health_check() {
    let config_map = read_yaml("docs/gitops/argocd-cm.yaml");
    let (group, kind) = (BatchInferenceJob::group(&()), BatchInferenceJob::kind(&()));
    let key = format!("resource.customizations.health.{group}_{kind}");
    assert_eq!(config_map["data"][key.as_str()], HEALTH_CHECK);
}
