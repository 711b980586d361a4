//! What a pipeline would be, without running it.

use evenkeel_proto::execution::v1::{Dependencies, ExecutionSpec, ExplainExecutionRequest, Owner};
use serde_json::Value;

use crate::{pipelines::TEKTON, support::on_a_node};

#[test]
fn a_pipeline_is_explained_by_tekton_itself_and_nothing_is_made() {
    on_a_node(async {
        let environment = TEKTON.get().await.unwrap();
        let mut executor = environment.executor().unwrap();
        let owner = Owner { namespace: "hands".into(), name: "explained".into(), uid: "explained-1".into() };
        let spec = ExecutionSpec {
            owner: Some(owner),
            target: "shop/Deployment/explained".into(),
            engine: "tekton".into(),
            workflow_id: "demo".into(),
            bundle: environment.registry().unwrap().push_demo_bundle().unwrap(),
            ..ExecutionSpec::default()
        };
        let request = ExplainExecutionRequest { spec: Some(spec.clone()) };
        let explained = executor.explain_execution(request).await.unwrap().into_inner();
        assert!(explained.problems.is_empty(), "{:?}", explained.problems);
        let run: Value = serde_json::from_str(&explained.manifests[0]).unwrap();
        assert_eq!(
            (&run["kind"], &run["spec"]["status"]),
            (&"PipelineRun".into(), &"PipelineRunPending".into())
        );
        let lock = explained.target.unwrap();
        assert_eq!((lock.token, lock.execution), (0, None));

        let dependencies = Some(Dependencies { secrets: vec!["not-there".into()], config_maps: vec![] });
        let request = ExplainExecutionRequest { spec: Some(ExecutionSpec { dependencies, ..spec.clone() }) };
        let explained = executor.explain_execution(request).await.unwrap().into_inner();
        assert_eq!(explained.problems[0].reason, "DEPENDENCY_MISSING", "{:?}", explained.problems);

        // Only Tekton's webhook knows that.
        let parameters = [("PARAM".to_owned(), "$(tasks.prepare.results.none)".to_owned())].into();
        let request = ExplainExecutionRequest { spec: Some(ExecutionSpec { parameters, ..spec }) };
        let explained = executor.explain_execution(request).await.unwrap().into_inner();
        let problem = &explained.problems[0];
        assert_eq!(problem.reason, "REJECTED");
        assert!(problem.message.contains("webhook.pipeline.tekton.dev"), "{}", problem.message);
        let made =
            environment.pipeline_runs().get_opt(run["metadata"]["name"].as_str().unwrap()).await.unwrap();
        assert!(made.is_none(), "{made:?}");
    });
}
