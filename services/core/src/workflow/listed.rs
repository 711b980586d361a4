//! The workflows of the cluster, and which of them is meant.

use super::{Entry, Problem, Workflow};

/// One `RemediationWorkflow`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Name of the object.
    pub name: String,
    /// Id that its registration gave it; empty when it was not registered.
    pub id: String,
    /// The workflow, or why the object is none.
    pub workflow: Result<Box<Workflow>, String>,
}

/// The workflow that is meant by `id`: the one registered under it, or else the one of that name,
/// which then must have the version that was asked for. An id stands for one version; a name does not.
pub fn find<'a>(
    mut listed: impl Iterator<Item = &'a Listed> + Clone,
    id: &str,
    version: &str,
) -> Option<Entry> {
    let mut registered = listed.clone().filter(|one| !one.id.is_empty() && one.id == id);
    match (registered.next(), registered.next()) {
        (Some(one), None) => Some(usable(one, id)),
        (Some(first), Some(second)) => {
            let mut names = [first.name.as_str(), second.name.as_str()];
            names.sort_unstable();
            let (id, names) = (id.to_owned(), names.join(", "));
            Some(Err(Problem::Ambiguous { id, names }))
        }
        (None, _) => {
            let named = listed.find(|one| one.name == id)?;
            Some(usable(named, id).and_then(|workflow| of_version(workflow, version)))
        }
    }
}

fn usable(listed: &Listed, id: &str) -> Entry {
    let unusable =
        |why: &String| Problem::Unusable { workflow: super::title(&listed.name, id), why: why.clone() };
    listed.workflow.clone().map_err(|why| unusable(&why))
}

fn of_version(workflow: Box<Workflow>, asked: &str) -> Entry {
    if workflow.version == asked {
        return Ok(workflow);
    }
    let Workflow { name, version: there, .. } = *workflow;
    Err(Problem::Version { name, there, asked: asked.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, id: &str) -> Listed {
        let workflow = Workflow { name: name.to_owned(), version: "1.0.0".to_owned(), ..Workflow::default() };
        Listed { name: name.to_owned(), id: id.to_owned(), workflow: Ok(Box::new(workflow)) }
    }

    fn name(found: Option<Entry>) -> String {
        found.unwrap().unwrap().name
    }

    #[test]
    fn a_workflow_is_found_by_its_id_whatever_its_version() {
        let all = [listed("restart", "id-1"), listed("scale", "id-2"), listed("bare", "")];
        assert_eq!(name(find(all.iter(), "id-2", "9")), "scale");
        assert_eq!(find(all.iter(), "id-3", "1.0.0"), None);
        assert_eq!(find(all.iter(), "", "1.0.0"), None, "nothing is registered under no id");
    }

    #[test]
    fn a_workflow_is_found_by_its_name_only_in_the_version_that_was_asked_for() {
        let all = [listed("restart", ""), listed("scale", "id-2")];
        assert_eq!(name(find(all.iter(), "restart", "1.0.0")), "restart");
        assert_eq!(name(find(all.iter(), "scale", "1.0.0")), "scale");
        let problem = find(all.iter(), "restart", "2.0.0").unwrap().unwrap_err().to_string();
        assert!(problem.contains("'1.0.0'") && problem.contains("'2.0.0'"), "{problem}");
    }

    #[test]
    fn an_id_that_several_claim_means_none_of_them() {
        let all = [listed("b", "id"), listed("a", "id")];
        let problem = find(all.iter(), "id", "1.0.0").unwrap().unwrap_err().to_string();
        assert!(problem.contains("a, b"), "{problem}");
    }

    #[test]
    fn an_object_that_is_no_workflow_is_told_only_to_who_asks_for_it() {
        let broken = Listed { workflow: Err("no version".to_owned()), ..listed("broken", "") };
        let all = [listed("restart", ""), broken];
        assert_eq!(name(find(all.iter(), "restart", "1.0.0")), "restart");
        let problem = find(all.iter(), "broken", "1.0.0").unwrap().unwrap_err().to_string();
        assert!(problem.contains("broken") && problem.contains("no version"), "{problem}");
    }
}
