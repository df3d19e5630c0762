use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::apply::plan_without_cluster;
use crate::objects::ObjectSet;

fn change(action: Action) -> ObjectChange {
    ObjectChange {
        id: ObjectId::new("apps", "Deployment", Some("n"), "a"),
        place: None,
        action,
    }
}

fn field(from: Shown, to: Shown) -> FieldChange {
    let owner = Owner {
        manager: "hpa".to_owned(),
        applies: false,
        subresource: "scale".to_owned(),
    };
    FieldChange {
        path: ".spec.replicas".to_owned(),
        from,
        to,
        owner: Some(owner),
    }
}

#[test]
fn a_plan_reads_well_and_survives_json() {
    let fields = vec![field(Shown::Value(json!(3)), Shown::Absent)];
    let plan = ObjectPlan {
        changes: vec![
            change(Action::Nothing),
            change(Action::Update {
                fields: fields.clone(),
            }),
            change(Action::Conflict {
                reason: "because".to_owned(),
                fields,
            }),
            change(Action::Keep {
                reason: "it holds data".to_owned(),
            }),
            change(Action::Remove),
        ],
    };
    assert_eq!(
        plan.to_string(),
        "~ update Deployment.apps/a in n\n    .spec.replicas: 3 -> (none) (owned by hpa)\n\
         x conflict Deployment.apps/a in n: because\n    .spec.replicas: 3 -> (none) (owned by hpa)\n\
         \u{20} keep Deployment.apps/a in n: it holds data\n- remove Deployment.apps/a in n\n\
         0 to create, 1 to change, 1 to remove"
    );
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<ObjectPlan>(&text).unwrap(), plan);
}

#[test]
fn without_a_cluster_everything_is_a_create_and_a_kind_may_come_from_the_set() {
    let text = "{apiVersion: x.io/v1, kind: Thing, metadata: {name: one}}\n---\n{apiVersion: apiextensions.k8s.io/v1, \
                kind: CustomResourceDefinition, metadata: {name: things.x.io}, spec: {group: x.io, scope: Namespaced, \
                names: {kind: Thing, plural: things}, versions: [{name: v1, served: true}]}}";
    let plan = plan_without_cluster(&ObjectSet::from_yaml("x.yaml", text).unwrap(), "n").unwrap();
    assert_eq!(plan.counts(), (2, 0, 0));
    assert_eq!(plan.changes[0].id.namespace.as_deref(), Some("n"));
    assert_eq!(plan.changes[0].place.as_deref(), Some("x.yaml:1:1"));
}

proptest! {
    /// What is shown of a value never has control characters and is never long.
    #[test]
    fn values_are_safe_to_print(text in ".{0,300}") {
        let shown = field(Shown::Value(json!(text)), Shown::Hidden).to_string();
        prop_assert!(!shown.chars().any(char::is_control));
        prop_assert!(shown.chars().count() < 200);
    }
}
