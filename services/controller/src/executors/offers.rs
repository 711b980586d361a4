//! Which executor has which engine, as they tell themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use evenkeel_kit::shutdown::CancellationToken;
use tokio::time::sleep;

use super::Executors;
use crate::watch::Wake;

/// How often executors are asked for their engines.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Where an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// At this executor.
    At(usize),
    /// At none: all have been asked.
    Nowhere {
        /// The engines that there are.
        available: Vec<String>,
    },
    /// At none that answers; these do not.
    Undecided {
        /// Who does not answer.
        away: Vec<usize>,
    },
}

/// What one executor offers.
#[derive(Clone, Debug, Default)]
struct Offer {
    engines: BTreeSet<String>,
    /// Whether it answered when it was asked last.
    is_here: bool,
}

/// What all of them offer, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Offers {
    all: Vec<Offer>,
    /// Who has an engine. It stays with whom it was found first, also while that one is away, for
    /// its runs are there.
    owners: BTreeMap<String, usize>,
}

impl Offers {
    pub(super) fn new(count: usize) -> Self {
        Self { all: vec![Offer::default(); count], owners: BTreeMap::new() }
    }

    /// What an executor said when it was asked; none when it did not answer. True when that is news.
    pub(super) fn heard(&mut self, which: usize, engines: Option<BTreeSet<String>>) -> bool {
        let Some(offer) = self.all.get_mut(which) else { return false };
        let before = (offer.is_here, offer.engines.clone());
        offer.is_here = engines.is_some();
        if let Some(engines) = engines {
            offer.engines = engines;
        }
        let is_news = before != (offer.is_here, offer.engines.clone());
        if is_news {
            self.settle();
        }
        is_news
    }

    /// An engine changes hands only when the one that has it says that it has it no longer.
    fn settle(&mut self) {
        for (which, offer) in self.all.iter().enumerate() {
            for engine in &offer.engines {
                let owner = self.owners.get(engine).copied();
                let is_kept =
                    owner.and_then(|owner| self.all.get(owner)).is_some_and(|it| it.engines.contains(engine));
                if !is_kept {
                    self.owners.insert(engine.clone(), which);
                }
            }
        }
    }

    /// Who has, or had last, an engine.
    pub(super) fn known(&self, engine: &str) -> Option<usize> {
        self.owners.get(engine).copied()
    }

    /// Where to start a run of an engine.
    pub(super) fn route(&self, engine: &str) -> Route {
        let owner = self.known(engine);
        let offers = |which: &usize| self.all.get(*which).is_some_and(|offer| offer.engines.contains(engine));
        if let Some(owner) = owner.filter(offers) {
            return Route::At(owner);
        }
        let away: Vec<usize> = (0..self.all.len()).filter(|which| !self.all[*which].is_here).collect();
        if away.is_empty() {
            let available: BTreeSet<_> =
                self.all.iter().flat_map(|offer| offer.engines.iter().cloned()).collect();
            return Route::Nowhere { available: available.into_iter().collect() };
        }
        Route::Undecided { away }
    }

    /// Engines that more than one executor offers, and who has them.
    fn shared(&self) -> Vec<(&str, usize)> {
        let count = |engine: &str| self.all.iter().filter(|offer| offer.engines.contains(engine)).count();
        self.owners
            .iter()
            .filter(|(engine, _)| count(engine) > 1)
            .map(|(engine, at)| (engine.as_str(), *at))
            .collect()
    }
}

/// Asks an executor for its engines now. True when something may go on because of what it said.
pub(super) async fn ask(executors: &Executors, which: usize) -> bool {
    let Some((address, executor)) = executors.at(which) else { return false };
    let engines = executor.engines().await;
    let engines = engines.map_err(|why| tracing::debug!(address, "could not ask for engines: {why}")).ok();
    let mut offers = executors.offers.lock();
    if !offers.heard(which, engines) {
        return false;
    }
    let Some(Offer { engines, is_here: true }) = offers.all.get(which) else {
        tracing::info!(address, "executor does not answer");
        return false;
    };
    tracing::info!(address, ?engines, "executor offers engines");
    for (engine, owner) in offers.shared() {
        let owner = executors.at(owner).map_or("", |(address, _)| address);
        tracing::warn!(engine, owner, "several executors offer this engine; one of them has it");
    }
    true
}

/// Keeps asking an executor for its engines until shutdown. Of several, one that has something new
/// wakes whoever may have waited for it.
pub(crate) async fn keep(executors: Executors, which: usize, wake: Wake, shutdown: CancellationToken) {
    loop {
        if ask(&executors, which).await && executors.count() > 1 {
            wake.everything();
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(ASK_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engines(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_engine_is_at_the_first_that_offers_it() {
        let mut offers = Offers::new(2);
        assert!(offers.heard(0, Some(engines(&["job"]))));
        assert!(offers.heard(1, Some(engines(&["argo", "job"]))));
        assert!(!offers.heard(1, Some(engines(&["argo", "job"]))), "no news");
        assert_eq!((offers.route("job"), offers.route("argo")), (Route::At(0), Route::At(1)));
        assert_eq!(offers.shared(), [("job", 0)]);
    }

    #[test]
    fn an_engine_that_nobody_offers_is_told_with_those_that_there_are() {
        let mut offers = Offers::new(2);
        offers.heard(0, Some(engines(&["job"])));
        offers.heard(1, Some(engines(&["argo"])));
        let available = vec!["argo".to_owned(), "job".to_owned()];
        assert_eq!(offers.route("tekton"), Route::Nowhere { available });
    }

    #[test]
    fn nothing_is_said_for_good_while_somebody_does_not_answer() {
        let mut offers = Offers::new(3);
        offers.heard(0, Some(engines(&["job"])));
        assert_eq!(offers.route("argo"), Route::Undecided { away: vec![1, 2] });
        offers.heard(1, Some(engines(&["argo"])));
        offers.heard(2, Some(engines(&[])));
        offers.heard(1, None);
        assert_eq!(offers.route("argo"), Route::At(1), "it is where it was");
        assert_eq!(offers.route("tekton"), Route::Undecided { away: vec![1] });
    }

    #[test]
    fn an_engine_changes_hands_only_when_the_one_that_has_it_says_so() {
        let mut offers = Offers::new(2);
        offers.heard(1, Some(engines(&["argo"])));
        offers.heard(0, Some(engines(&["argo"])));
        assert_eq!(offers.route("argo"), Route::At(1), "its runs are there");
        offers.heard(1, None);
        assert_eq!(offers.route("argo"), Route::At(1), "also while it is away");
        offers.heard(1, Some(engines(&[])));
        assert_eq!(offers.route("argo"), Route::At(0));
        offers.heard(0, Some(engines(&[])));
        assert_eq!(
            (offers.route("argo"), offers.known("argo")),
            (Route::Nowhere { available: vec![] }, Some(0))
        );
    }
}
