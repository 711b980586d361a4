//! What a failed container said last, made fit to be told: the values of the Secrets that its run was
//! given are hidden, and nothing is told when they cannot be read.

use std::{collections::BTreeSet, time::Duration};

use evenkeel_core::quote;
use k8s_openapi::api::{batch::v1::Job, core::v1::Secret};
use kube::{Api, Client};

use super::mask::Mask;

/// How long the end of a run may be held back for the sake of its last words.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kubelet keeps that many bytes of a log at least. A text of that length may begin in the middle
/// of a line, and so in the middle of a value that is to be hidden.
const KEPT: usize = 2048;
/// Told in place of words that may hold anything.
const WITHHELD: &str = "(withheld, since the Secrets of this run could not be read)";

/// The Secrets of a run that must be read before its words may be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) run: String,
    /// Uid of the Job.
    pub(super) uid: String,
    pub(super) secrets: BTreeSet<String>,
}

/// What came of a question.
pub(super) struct Answer {
    pub(super) run: String,
    pub(super) uid: String,
    /// None when they could not all be read.
    pub(super) mask: Option<Mask>,
}

/// The Secrets that a run was given.
pub(super) fn secrets_of(job: &Job) -> BTreeSet<String> {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let volumes = pod.and_then(|pod| pod.volumes.as_deref()).unwrap_or_default();
    volumes.iter().filter_map(|volume| volume.secret.as_ref()?.secret_name.clone()).collect()
}

/// Reads the Secrets.
pub(super) async fn ask(client: Client, namespace: String, question: Question) -> Answer {
    let Question { run, uid, secrets } = question;
    let api: Api<Secret> = Api::namespaced(client, &namespace);
    let mask = match tokio::time::timeout(PATIENCE, read(&api, &secrets)).await {
        Ok(Ok(mask)) => mask,
        Ok(Err(error)) => {
            tracing::warn!(run, "could not read the run's Secrets, so its last words are withheld: {error}");
            None
        }
        Err(_) => {
            tracing::warn!(run, "the run's Secrets were not read in time, so its last words are withheld");
            None
        }
    };
    Answer { run, uid, mask }
}

async fn read(api: &Api<Secret>, names: &BTreeSet<String>) -> kube::Result<Option<Mask>> {
    let mut found = Vec::new();
    for name in names {
        let Some(secret) = api.get_opt(name).await? else { return Ok(None) };
        found.extend(secret.data.unwrap_or_default().into_values());
    }
    Ok(Some(Mask::of(found.iter())))
}

/// The last lines of what was printed, without what the mask hides; withheld without a mask.
pub(super) fn tell(printed: &str, mask: Option<&Mask>) -> Vec<String> {
    let Some(mask) = mask else { return vec![WITHHELD.to_owned()] };
    let whole = match printed.split_once('\n') {
        Some((_, after)) if printed.len() >= KEPT => after,
        None if printed.len() >= KEPT => "",
        _ => printed,
    };
    // Hidden before lines are cut, and again when nothing stands between the parts of a value any more.
    quote::last_lines(&mask.hide(whole)).iter().map(|line| mask.hide(line)).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn mask(value: &str) -> Mask {
        Mask::of([&ByteString(value.as_bytes().to_vec())].into_iter())
    }

    #[test]
    fn what_was_printed_is_told_without_secret_values() {
        let printed = "using hunter2\nno \u{1b}[1mhun\u{1b}[0mter2 here\n";
        assert_eq!(tell(printed, Some(&mask("hunter2"))), ["using ***", "no *** here"]);
        assert_eq!(tell("plain\n", Some(&Mask::default())), ["plain"]);
    }

    #[test]
    fn a_secret_at_the_end_of_a_line_that_is_cut_is_hidden_whole() {
        let printed = format!("{} hunter2-hunter2", "x".repeat(232));
        let told = tell(&printed, Some(&mask("hunter2-hunter2"))).join("");
        assert!(!told.contains("hunter"), "{told}");
    }

    #[test]
    fn a_line_that_may_have_lost_its_begin_is_not_told() {
        let printed = format!("ter2 {}\nlast", "x".repeat(KEPT));
        assert_eq!(tell(&printed, Some(&mask("hunter2"))), ["last"]);
        assert_eq!(tell(&"x".repeat(KEPT), Some(&mask("hunter2"))), [""; 0]);
    }

    #[test]
    fn words_are_withheld_when_it_is_not_known_what_to_hide() {
        let told = tell("using hunter2", None);
        assert!(told.len() == 1 && told[0].contains("withheld"), "{told:?}");
    }

    #[test]
    fn the_secrets_of_a_run_are_those_that_are_mounted_into_it() {
        let job: Job = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "wfe-1"},
            "spec": {"template": {"spec": {"containers": [], "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "a", "secret": {"secretName": "db"}},
                {"name": "b", "configMap": {"name": "settings"}},
            ]}}},
        }))
        .unwrap();
        assert_eq!(secrets_of(&job), BTreeSet::from(["db".to_owned()]));
        assert_eq!(secrets_of(&Job::default()), BTreeSet::new());
    }
}
