//! What a proxy does to what passes, and how often it did.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Asked;

/// Something that is done while a request waits.
type Hook = Arc<dyn Fn(Asked) -> BoxFuture<'static, ()> + Send + Sync>;

/// What happens to a request, or to an event of a watch that is open.
#[derive(Clone)]
pub enum Fault {
    /// A request is answered with this code and goes no further.
    Answer(u16),
    /// The same, with the time after which to come again.
    Later(u16, Duration),
    /// A request is lost on its way.
    LoseRequest,
    /// A request is carried out, and its answer is lost.
    LoseAnswer,
    /// Something else is done before a request goes on.
    First(Hook),
    /// Something else is done before the answer goes back.
    Then(Hook),
    /// A request, or the events of a watch, wait at this gate.
    Hold(Gate),
    /// A request is late.
    Delay(Duration),
    /// A watch breaks in the middle of its next event.
    Cut,
    /// A watch says that it is too old instead of its next event.
    Expire,
}

impl Fault {
    /// Has this done before a request goes on.
    pub fn first<F: Future<Output = ()> + Send + 'static>(
        hook: impl Fn(Asked) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::First(Arc::new(move |asked| Box::pin(hook(asked))))
    }

    /// Has this done after a request was carried out and before its answer goes back.
    pub fn then<F: Future<Output = ()> + Send + 'static>(
        hook: impl Fn(Asked) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::Then(Arc::new(move |asked| Box::pin(hook(asked))))
    }
}

/// Holds back what comes to it until it is opened, which is for good.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed one.
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        // It cannot be gone, for this is one of its owners.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// What is done to which requests.
pub struct Rule {
    verb: &'static str,
    resource: &'static str,
    name: String,
    of_events: bool,
    skipped: usize,
    left: usize,
    chance: f64,
    fault: Fault,
    done: watch::Sender<usize>,
}

impl Rule {
    /// Does this to the next request with this verb about this resource; an empty text is any.
    pub fn new(verb: &'static str, resource: &'static str, fault: Fault) -> Self {
        let of_events = matches!(fault, Fault::Cut | Fault::Expire);
        let name = String::new();
        let done = watch::Sender::new(0);
        Self { verb, resource, name, of_events, skipped: 0, left: 1, chance: 1.0, fault, done }
    }

    /// Does this to the next event of the watches of this resource.
    pub fn of_events(resource: &'static str, fault: Fault) -> Self {
        Self { of_events: true, ..Self::new("watch", resource, fault) }
    }

    /// Only where the object has this name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Lets so many pass first.
    #[must_use]
    pub fn after(self, skipped: usize) -> Self {
        Self { skipped, ..self }
    }

    /// So many times.
    #[must_use]
    pub fn times(self, left: usize) -> Self {
        Self { left, ..self }
    }

    /// With this probability each time.
    #[must_use]
    pub fn chance(self, chance: f64) -> Self {
        Self { chance, ..self }
    }

    fn is_about(&self, asked: &Asked, of_events: bool) -> bool {
        self.left > 0
            && self.of_events == of_events
            && (self.verb.is_empty() || self.verb == asked.verb)
            && (self.resource.is_empty() || self.resource == asked.resource)
            && (self.name.is_empty() || self.name == asked.name)
    }
}

/// How often a rule was applied.
#[derive(Clone)]
pub struct Fired(watch::Receiver<usize>);

impl Fired {
    /// So far.
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until it was so often.
    pub async fn reach(&self, count: usize, limit: Duration) -> anyhow::Result<()> {
        let mut done = self.0.clone();
        let reached = tokio::time::timeout(limit, done.wait_for(|done| *done >= count)).await;
        let why = || format!("a fault happened {} times in {limit:?} and not {count}", self.count());
        reached.with_context(why)?.map(drop).context("the rule is gone")
    }
}

impl fmt::Debug for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times", self.count())
    }
}

/// The rules of a proxy, in their order.
#[derive(Default)]
pub(super) struct Rules {
    state: Mutex<(Vec<Rule>, u64)>,
}

impl Rules {
    pub(super) fn add(&self, rule: Rule) -> Fired {
        let fired = Fired(rule.done.subscribe());
        self.state.lock().0.push(rule);
        fired
    }

    pub(super) fn clear(&self) {
        self.state.lock().0.clear();
    }

    pub(super) fn seed(&self, seed: u64) {
        self.state.lock().1 = seed;
    }

    /// What is to be done to this, which then counts as done.
    pub(super) fn take(&self, asked: &Asked, of_events: bool) -> Option<Fault> {
        let (rules, random) = &mut *self.state.lock();
        for rule in rules.iter_mut().filter(|rule| rule.is_about(asked, of_events)) {
            if rule.skipped > 0 {
                rule.skipped -= 1;
            } else if rule.chance >= 1.0 || next(random) < rule.chance {
                rule.left = rule.left.saturating_sub(1);
                rule.done.send_modify(|done| *done += 1);
                return Some(rule.fault.clone());
            }
        }
        None
    }
}

/// The next number from 0 to 1 of a sequence that its seed decides (splitmix64).
#[expect(clippy::cast_precision_loss, reason = "53 bits are what a float has")]
fn next(random: &mut u64) -> f64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verb: &'static str, name: &str) -> Asked {
        Asked { verb, resource: "jobs".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_rule_is_about_what_it_names_and_counts_what_it_did() {
        let rules = Rules::default();
        let fired = rules.add(Rule::new("get", "jobs", Fault::Answer(500)).named("a").after(1).times(2));
        let all = [("get", "a"), ("get", "b"), ("get", "a"), ("patch", "a"), ("get", "a"), ("get", "a")];
        let did = all.map(|(verb, name)| rules.take(&asked(verb, name), false).is_some());
        assert_eq!(did, [false, false, true, false, true, false]);
        assert_eq!(fired.count(), 2);
    }

    #[test]
    fn events_and_requests_have_rules_of_their_own() {
        let rules = Rules::default();
        rules.add(Rule::of_events("jobs", Fault::Hold(Gate::closed())));
        assert!(rules.take(&asked("watch", ""), false).is_none());
        assert!(rules.take(&asked("watch", ""), true).is_some());
    }

    #[test]
    fn chance_follows_its_seed() {
        let took = |seed| {
            let rules = Rules::default();
            rules.seed(seed);
            let fired = rules.add(Rule::new("", "", Fault::LoseAnswer).times(1000).chance(0.25));
            let took: Vec<bool> =
                (0..1000).map(|_| rules.take(&asked("get", "a"), false).is_some()).collect();
            (took, fired.count())
        };
        assert_eq!(took(7), took(7));
        assert_ne!(took(7).0, took(8).0);
        assert!((200..300).contains(&took(7).1), "{}", took(7).1);
    }
}
